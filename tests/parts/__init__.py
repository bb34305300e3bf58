"""Stand-ins at the seams: a scripted engine, scripted tools, a gateway on a real socket."""
