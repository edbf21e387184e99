// The page: which run is shown, what is in view, and redrawing when either changes.

const CONFIG = {
  displaylogo: false, responsive: true, showTips: false, doubleClick: false,
  // Named one by one: some of the library's own would send the figure elsewhere.
  modeBarButtons: [["toImage"], ["zoom2d", "pan2d"]],
};
const LINKED = ["wb-site", "wb-actuators"];

const page = { runs: [], shown: 0, view: [0, 1], printing: false, redrawing: false };

function find(id) { return document.getElementById(id); }

function tell(text) {
  for (const element of document.querySelectorAll(".plot")) {
    const note = document.createElement("p");
    note.className = "waiting";
    note.textContent = text;
    element.replaceChildren(note);
  }
}

/** Milliseconds of a date as the plotting library writes it ("2025-06-21 10:00:00.5") or a number. */
function dateMs(value) {
  if (typeof value === "number") return value;
  const [day, clock] = value.split(" ");
  const [hours, minutes, seconds] = (clock || "0:0:0").split(":").map(Number);
  return Date.parse(day + "T00:00:00Z") + 1000 * (hours * 3600 + (minutes || 0) * 60 + (seconds || 0));
}

function chosenOthers() {
  return [...document.querySelectorAll("input[data-overlay]:checked")]
    .map((input) => Number(input.dataset.overlay))
    .filter((index) => index !== page.shown)
    .map((index) => page.runs[index]);
}

async function place(id, figure) {
  const element = find(id);
  if (!element) return;
  if (!element.classList.contains("js-plotly-plot")) element.replaceChildren();
  if (page.printing) figure.layout.width = element.closest(".pair") ? 340 : 700;
  const config = { ...CONFIG, displayModeBar: LINKED.includes(id) };
  await Plotly.react(element, figure.traces, figure.layout, config);
}

function leaveOut(id, text) {
  const element = find(id);
  if (!element) return;
  if (element.classList.contains("js-plotly-plot")) Plotly.purge(element);
  element.textContent = text;
}

async function drawLinked() {
  const run = page.runs[page.shown], colours = palette();
  page.redrawing = true;
  try {
    if (Object.keys(run.series).length) await place("wb-site", siteFigure(run, chosenOthers(), page.view, colours));
    else leaveOut("wb-site", "The record holds no trace.");
    if (run.actuators.some((a) => a.power || a.command)) await place("wb-actuators", actuatorFigure(run, page.view, colours));
    else leaveOut("wb-actuators", "The record holds no trace of a controlled device.");
  } finally {
    page.redrawing = false;
  }
}

async function drawDistributions() {
  const run = page.runs[page.shown], colours = palette();
  if (run.curve) await place("wb-curve", curveFigure(run, chosenOthers(), colours));
  else leaveOut("wb-curve", "Nothing was exported.");
  if (run.latency) await place("wb-latency", latencyFigure(run, colours));
  else leaveOut("wb-latency", "No step was timed.");
}

async function drawAll() {
  await drawLinked();
  await drawDistributions();
  for (const id of LINKED) listen(id);
}

function show(from, to) {
  const end = page.runs[page.shown].end_s;
  const wide = Math.max(2, Math.min(end, to - from));
  const start = Math.max(0, Math.min(end - wide, from));
  page.view = [start, start + wide];
  return drawLinked();
}

function showAll() { return show(0, page.runs[page.shown].end_s); }

/** Zooming one figure zooms all that share its time axis, and fetches finer buckets. */
function listen(id) {
  const element = find(id);
  if (!element || !element.on || element.dataset.linked) return;
  element.dataset.linked = "yes";
  element.on("plotly_relayout", (change) => {
    if (page.redrawing || change["xaxis.range[0]"] === undefined) return;
    const start = page.runs[page.shown].start_ms;
    show((dateMs(change["xaxis.range[0]"]) - start) / 1000, (dateMs(change["xaxis.range[1]"]) - start) / 1000);
  });
  element.on("plotly_doubleclick", () => { showAll(); });
}

function choose(index) {
  page.shown = index;
  page.view = [0, page.runs[index].end_s];
  for (const element of document.querySelectorAll("[data-run]")) {
    element.hidden = Number(element.dataset.run) !== index;
  }
}

function zoomBy(factor) {
  const [from, to] = page.view, middle = (from + to) / 2, half = (to - from) * factor / 2;
  return show(middle - half, middle + half);
}

function shiftBy(part) {
  const [from, to] = page.view;
  return show(from + part * (to - from), to + part * (to - from));
}

function connect() {
  const actions = {
    all: showAll, closer: () => zoomBy(0.25), wider: () => zoomBy(4),
    earlier: () => shiftBy(-0.5), later: () => shiftBy(0.5),
  };
  for (const button of document.querySelectorAll("button[data-view]")) {
    button.addEventListener("click", () => actions[button.dataset.view]());
  }
  for (const button of document.querySelectorAll("button[data-at]")) {
    button.addEventListener("click", () => {
      const at = Number(button.dataset.at);
      find("traces").scrollIntoView();
      show(at - 120, at + 480);
    });
  }
  const select = find("wb-choice");
  if (select) select.addEventListener("change", () => { choose(Number(select.value)); drawAll(); });
  for (const input of document.querySelectorAll("input[data-overlay]")) input.addEventListener("change", drawAll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => { page.printing = true; drawAll(); });
  addEventListener("afterprint", () => { page.printing = false; drawAll(); });
}

async function start() {
  if (typeof DecompressionStream === "undefined") {
    tell("This browser cannot inflate the plots (it lacks DecompressionStream). All tables are complete; for the plots open the file in Chrome 80, Firefox 113, Safari 16.4 or newer.");
    return;
  }
  const packed = JSON.parse(find("wb-runs").textContent);
  const bytes = new Uint8Array(await inflate("wb-numbers"));
  page.runs = packed.map((run) => ({
    ...run,
    series: Object.fromEntries(Object.entries(run.series).map(([name, s]) => [name, openSeries(bytes, s)])),
    actuators: run.actuators.map((a) => ({
      ...a, power: openSeries(bytes, a.power), command: openSeries(bytes, a.command), state: openSeries(bytes, a.state),
    })),
  }));
  choose(0);
  if (find("wb-plotly")) {
    const library = document.createElement("script");
    library.textContent = new TextDecoder().decode(await inflate("wb-plotly"));
    document.head.append(library);
  } else if (typeof Plotly === "undefined") {
    tell("The plotting library is not where this page looks for it: in the folder assets/ of the suite that the run belongs to. All tables are complete; wattbench report writes page and library anew.");
    return;
  }
  connect();
  await drawAll();
}

start().catch((error) => {
  tell(`The plots could not be drawn (${error}). All tables are complete.`);
});
