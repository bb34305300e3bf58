"""What a fake engine's servers agree on, apart from the executor so that it loads without vLLM."""

STEP_VARIABLE = "BENCH_STEP_MS"
# Of the made-up tokens: every server streams the same text.
SEED = 0
# Names, among a request's `vllm_xargs`, the token ids that it is to be answered with.
SCRIPT = "script"
# And how many of them come in one step, as drafts that were right make it; one by default.
SCRIPT_STEP = "script_step"


class StepClock:
    """Steps end on a fixed grid, which starts anew after an idle time."""

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._end_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """How long to sleep until the step that begins now ends; moves the grid on."""
        if self._end_s < now_s - self._step_s:
            self._end_s = now_s
        self._end_s += self._step_s
        return max(0.0, self._end_s - now_s)
