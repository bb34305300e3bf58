// Nodes from values. What others have written (ids, names, messages) becomes text, never markup.

export function node(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

export function put(parent, selector, text) {
  const found = parent.querySelector(selector);
  if (found.textContent !== text) found.textContent = text;
  return found;
}

// Children that go on keep their node, and with it the focus and what the reader has opened.
export function sync(parent, items, keyOf, make, fill) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let at = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const child = old.get(key) ?? make(item);
    child.dataset.key = key;
    old.delete(key);
    fill(child, item);
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
  for (const gone of old.values()) gone.remove();
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0.0095) return `${(value * 1000).toFixed(1)} ms`;
  if (value < 0.995) return `${Math.round(value * 1000)} ms`;
  if (value < 99.5) return `${value.toPrecision(2)} s`;
  if (value < 5940) return `${Math.round(value / 60)} min`;
  return `${Math.round(value / 3600)} h`;
}

export const range = ([low, high]) => `${seconds(low)} to ${seconds(high)}`;
export const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;
export const clock = (unix) => new Date(unix * 1000).toLocaleTimeString();

const BAD = ["ok", "running", "disconnected"];
export const isBad = (outcome) => !BAD.includes(outcome);

// One request as a bar: held, to the first token, the rest; its tools below, where they ran.
export function bar(entry) {
  const total = Math.max(entry.total_s ?? entry.age_s, 0.001);
  const share = (value) => `${Math.min(100, (100 * Math.max(0, value)) / total)}%`;
  const drawn = node("li", `entry ${isBad(entry.outcome) ? "bad" : ""}`);
  drawn.classList.toggle("running", entry.outcome === "running");
  drawn.style.flexGrow = String(Math.sqrt(total));
  const held = entry.held.reduce((sum, hold) => sum + hold.seconds, 0);
  const first = entry.first_token_s ?? total;
  const track = node("div", "track");
  for (const [name, from, to] of [["held", 0, held], ["first", held, first], ["rest", first, total]]) {
    if (to <= from) continue;
    const piece = node("span", name);
    piece.style.left = share(from);
    piece.style.width = share(to - from);
    track.append(piece);
  }
  drawn.append(track, node("div", "track tools"));
  for (const tool of entry.tools) {
    const piece = node("span", isBad(tool.outcome) ? "tool bad" : "tool");
    piece.style.left = share(tool.began_s);
    piece.style.width = share(tool.took_s ?? total - tool.began_s);
    drawn.lastChild.append(piece);
  }
  drawn.title = `${entry.outcome}, ${seconds(total)}`;
  return drawn;
}

const WHY = {
  home: "it holds the session's cache",
  only: "the only one that serves this model",
  prefix: "it has just served the same instructions and tools",
  fewest_programs: "it had the fewest programs",
};

function because(placement) {
  const moved = placement.why.startsWith("moved:");
  const why = moved ? `moved, the one before: ${placement.why.slice(6)}` : WHY[placement.why];
  return `${placement.engine}: ${why ?? placement.why}${placement.failed ? `; it failed: ${placement.failed}` : ""}`;
}

// The same request in words.
export function account(entry) {
  const told = node("li");
  const tokens = entry.prompt_tokens === null ? "" :
    `, ${entry.prompt_tokens} tokens in (${entry.cached_tokens} cached), ${entry.completion_tokens} out`;
  const first = entry.first_token_s === null ? "" : `, first token after ${seconds(entry.first_token_s)}`;
  const head = node("p", isBad(entry.outcome) ? "bad" : "");
  head.append(node("time", "", clock(entry.began_at)), ` ${entry.outcome}`,
    ` ${entry.total_s === null ? "for" : "in"} ${seconds(entry.total_s ?? entry.age_s)}${first}${tokens}`);
  told.append(head);
  const lines = node("ul");
  for (const hold of entry.held) {
    lines.append(node("li", "", `held ${seconds(hold.seconds)} at the ${hold.where}: ${hold.because}`));
  }
  const words = entry.placements.map(because);
  const turns = new Map(words.map((word) => [word, words.filter((other) => other === word).length]));
  for (const [word, times] of turns) {
    lines.append(node("li", "", times > 1 ? `${word} (${times} turns)` : word));
  }
  for (const tool of entry.tools) {
    const expected = tool.expected_s ? `, expected ${range(tool.expected_s)}` : "";
    const ran = tool.run_s === null ? "" : `, ran ${seconds(tool.run_s)}, waited ${seconds(tool.wait_s)}`;
    lines.append(node("li", isBad(tool.outcome) ? "bad" : "", `${tool.name} ${tool.outcome}${ran}${expected}`));
  }
  if (entry.error) lines.append(node("li", "bad", `${entry.error.code}: ${entry.error.message}`));
  told.append(lines);
  return told;
}

// From a millisecond to a thousand seconds, every decade as wide.
const [LEAST, DECADES] = [-3, 6];
export const place = (value) =>
  Math.min(100, Math.max(0, (100 * (Math.log10(Math.max(value, 1e-6)) - LEAST)) / DECADES));
