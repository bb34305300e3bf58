// Reads the gateway's view, about one a second, and draws it.

import { account, bar, clock, count, isBad, node, place, put, range, seconds, sync } from "./draw.js";

const RETRY_MS = 2000;
const SILENT_MS = 8000; // a machine that is gone says nothing, and so would this page
const HOMES = 6;
const by = (id) => document.getElementById(id);
let watching = false;
let stop = new AbortController();

const PHASES = {
  queued: "queued",
  generating: "generating",
  in_tool: "in a tool",
  waiting_for_client: "waiting for its client",
};

function drawTotals(view) {
  const calls = view.tools.running?.length;
  const totals = [
    ["running", view.running],
    ["queued", view.waiting],
    ["sessions", view.sessions_live],
    ["tool calls", calls ?? "–"],
  ];
  const make = () => {
    const made = node("div");
    made.append(node("dt"), node("dd"));
    return made;
  };
  sync(by("totals"), totals, ([name]) => name, make, (made, [name, value]) => {
    put(made, "dt", name);
    put(made, "dd", String(value));
  });
}

function makeEngine() {
  const made = node("li", "card");
  const head = node("div", "head");
  head.append(node("h3"), node("span", "badge"));
  const meter = node("div", "meter");
  meter.setAttribute("role", "meter");
  meter.setAttribute("aria-label", "KV cache in use");
  meter.setAttribute("aria-valuemin", "0");
  meter.setAttribute("aria-valuemax", "100");
  meter.append(node("span"));
  const label = node("p", "label");
  label.append(node("span", "", "KV cache"), node("span", "kv"));
  made.append(head, node("p", "model"), label, meter, node("p", "load"), node("ul", "homes"));
  return made;
}

function drawEngines(view) {
  sync(by("engines"), view.engines, (engine) => engine.name, makeEngine, (made, engine) => {
    put(made, "h3", engine.name);
    put(made, ".badge", engine.state).dataset.state = engine.state;
    put(made, ".model", engine.model + (engine.pool ? ` · ${engine.pool}` : "") +
      (engine.spare ? " · spare" : ""));
    const percent = Math.round(100 * engine.kv_used_ratio);
    put(made, ".kv", `${percent} %`);
    const meter = made.querySelector(".meter");
    meter.setAttribute("aria-valuenow", String(percent));
    meter.classList.toggle("full", percent >= 95);
    meter.firstElementChild.style.width = `${percent}%`;
    put(made, ".load", `${engine.running} running · ${engine.waiting} waiting · ` +
      count(engine.programs, "program"));
    const homes = view.sessions.filter((session) => session.engine === engine.name);
    const names = homes.slice(0, HOMES).map(({ key, id, agent }) => [key, agent ?? id, id]);
    if (homes.length > HOMES) names.push(["more", `+ ${homes.length - HOMES}`, ""]);
    sync(made.querySelector(".homes"), names, ([key]) => key, () => node("li"), (chip, [, name, id]) => {
      chip.textContent = name;
      chip.title = id;
    });
  });
}

function makeSession() {
  const made = node("li");
  const details = node("details");
  const summary = node("summary");
  const head = node("div", "head");
  head.append(node("h3"), node("span", "id"), node("span", "badge"));
  summary.append(head, node("p", "where"), node("ol", "strip"));
  details.append(summary, node("p", "kin"), node("ol", "accounts"));
  details.addEventListener("toggle", () => drawAccounts(made));
  summary.querySelector(".strip").ariaHidden = "true"; // the accounts tell it in words
  made.append(details);
  return made;
}

function drawAccounts(made) {
  const isOpen = made.querySelector("details").open;
  const entries = isOpen ? made.session.entries.toReversed() : [];
  made.querySelector(".accounts").replaceChildren(...entries.map(account));
}

function drawSessions(view) {
  by("no-sessions").hidden = view.sessions.length > 0;
  const sorted = view.sessions.toSorted((one, other) => other.key - one.key);
  sync(by("sessions"), sorted, (session) => session.key, makeSession, (made, session) => {
    made.session = session;
    put(made, "h3", session.agent ?? session.id);
    put(made, ".id", session.agent ? session.id : "");
    put(made, ".badge", PHASES[session.phase]).dataset.state = session.phase;
    const home = session.engine ? `at ${session.engine}` : "not placed yet";
    const rest = session.phase === "waiting_for_client" ? ` · idle for ${seconds(session.idle_s)}` : "";
    put(made, ".where", `${home} · ${count(session.requests, "request")}${rest}`);
    const kin = session.parent ? `started by ${session.parent}` : "";
    put(made, ".kin", session.group === session.id ? kin : `group ${session.group}${kin && ` · ${kin}`}`);
    made.querySelector(".strip").replaceChildren(...session.entries.map(bar));
    drawAccounts(made);
  });
}

function makeTool() {
  const made = node("li");
  const axis = node("div", "axis");
  axis.setAttribute("role", "img");
  axis.append(node("span", "span"), node("span", "mark"));
  made.append(node("span", "name"), axis, node("span", "range"), node("span", "calls"));
  return made;
}

function drawTools({ tools }) {
  const notes = {
    none: "This gateway has no tools service.",
    down: `The tools service does not answer: ${tools.message}`,
    ok: tools.runtimes?.length ? "" : "No tool has been called yet.",
  };
  by("tools-note").textContent = notes[tools.state];
  by("tools-note").classList.toggle("bad", tools.state === "down");
  by("tools-note").hidden = !notes[tools.state];
  by("scale").hidden = !tools.runtimes?.length;
  const key = (row) => `${row.tool} ${row.shape}`;
  sync(by("tools"), tools.runtimes ?? [], key, makeTool, (made, row) => {
    const isWhole = row.shape === "*";
    made.classList.toggle("shape", !isWhole);
    put(made, ".name", isWhole ? row.tool : row.shape);
    const expected = [row.p10_s, row.p90_s];
    put(made, ".range", range(expected));
    const runs = tools.running.filter((run) => run.tool === row.tool && (isWhole || run.shape === row.shape));
    put(made, ".calls", count(row.samples, "call") + (runs.length ? ` · ${runs.length} running` : ""));
    made.classList.toggle("live", runs.length > 0);
    const axis = made.querySelector(".axis");
    axis.setAttribute("aria-label", `expected ${range(expected)}, median ${seconds(row.p50_s)}`);
    axis.title = axis.getAttribute("aria-label");
    const [from, to] = expected.map(place);
    axis.children[0].style.left = `${from}%`;
    axis.children[0].style.width = `${Math.max(1, to - from)}%`;
    axis.children[1].style.left = `${place(row.p50_s)}%`;
  });
}

function makeTrouble() {
  const made = node("li");
  made.append(node("time"), node("span", "badge"), node("span", "whose"), node("p"));
  return made;
}

function drawTroubles({ troubles }) {
  by("no-troubles").hidden = troubles.length > 0;
  sync(by("troubles"), troubles, (trouble) => trouble.id, makeTrouble, (made, trouble) => {
    put(made, "time", clock(trouble.began_at));
    put(made, ".badge", trouble.outcome.replaceAll("_", " ")).dataset.state = "bad";
    put(made, ".whose", trouble.session ?? "");
    put(made, "p", `${trouble.error.code}: ${trouble.error.message}`);
  });
}

function draw(view) {
  const focused = document.activeElement;
  for (const part of [drawTotals, drawEngines, drawSessions, drawTools, drawTroubles]) part(view);
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

function show(state) {
  by("connection").textContent = { live: "live", lost: "connection lost, trying again …", out: "" }[state];
  by("connection").dataset.state = state;
  by("login").hidden = state !== "out";
  if (state !== "lost") by("board").hidden = state !== "live";
}

function askForKey() {
  show("out");
  by("logout").hidden = true;
  by("key").focus();
}

async function read() {
  stop = new AbortController();
  const answer = await fetch("status/events", { signal: stop.signal });
  if (answer.status === 401) {
    askForKey();
    return false;
  }
  if (!answer.ok) throw new Error(String(answer.status));
  show("live");
  by("logout").hidden = !answer.headers.has("x-roundhouse-signed-in");
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const silence = setTimeout(() => stop.abort(), SILENT_MS);
    const { value, done } = await reader.read().finally(() => clearTimeout(silence));
    if (done) throw new Error("the stream has ended");
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    if (events.length) draw(JSON.parse(events.at(-1).slice("data: ".length)));
  }
}

async function watch() {
  if (watching) return;
  watching = true;
  try {
    while (!document.hidden) {
      try {
        if (!(await read())) return;
      } catch (error) {
        if (document.hidden) return; // nobody looks
        if (error.name !== "AbortError") console.warn(error.message);
        show("lost");
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  } finally {
    watching = false;
  }
}

document.addEventListener("visibilitychange", () => (document.hidden ? stop.abort() : watch()));

by("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  by("refused").textContent = "";
  // A key that no header can carry is none that the gateway has.
  const headers = { authorization: `Bearer ${by("key").value}` };
  const answer = await fetch("status/login", { method: "POST", headers }).catch(() => null);
  if (!answer?.ok) {
    by("refused").textContent = "This key is not the operator's.";
    by("key").select();
    return;
  }
  by("key").value = "";
  watch();
});

by("logout").addEventListener("click", async () => {
  await fetch("status/logout", { method: "POST" });
  location.reload();
});

watch();
