// Figures: what the page draws, as data for the plotting library.

/** Colours of the page at this moment: light, dark or print. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue("--" + name).trim();
  const names = ["text", "muted", "line", "card", "accent", "import", "export", "pv", "load",
    "household", "heat", "command", "battery", "fail", "aborted"];
  return Object.fromEntries(names.map((name) => [name, read(name)]));
}

/** A colour of the palette (#rrggbb) with an opacity. */
function fade(colour, opacity) {
  const part = (i) => parseInt(colour.slice(i, i + 2), 16);
  return `rgba(${part(1)},${part(3)},${part(5)},${opacity})`;
}

const OTHER_LINES = ["#8e44ad", "#16a085", "#c0392b", "#2c82c9", "#b8860b", "#7f8c8d"];
const DASHES = ["dash", "dot", "dashdot", "longdash", "longdashdot", "solid"];
const SPAN_COLOURS = { fault: "fail", state: "muted", safe: "aborted" };

/** Vertical domains of rows given in px, from the top; gaps stand above each row. */
function stackRows(rows, margin) {
  const inner = rows.reduce((sum, row) => sum + row.gap + row.height, 0);
  let top = 0;
  for (const row of rows) {
    top += row.gap;
    row.domain = [Math.max(0, 1 - (top + row.height) / inner), 1 - top / inner];
    top += row.height;
  }
  return inner + margin.t + margin.b;
}

function baseLayout(colours, margin, height) {
  return {
    height, margin, paper_bgcolor: colours.card, plot_bgcolor: colours.card,
    font: { family: "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif", size: 12, color: colours.text },
    hoverlabel: { bgcolor: colours.card, bordercolor: colours.line, font: { color: colours.text, size: 12 } },
    showlegend: false, shapes: [], annotations: [], dragmode: "zoom",
  };
}

function timeAxis(colours, view, run, anchor) {
  return {
    type: "date", range: [run.start_ms + 1000 * view[0], run.start_ms + 1000 * view[1]], anchor,
    gridcolor: colours.line, linecolor: colours.line, zeroline: false, ticks: "outside",
    tickcolor: colours.line, showspikes: true, spikemode: "across", spikesnap: "cursor",
    spikethickness: 1, spikecolor: colours.muted, spikedash: "solid",
    title: { text: `local time, ${run.zone}`, font: { size: 12, color: colours.muted }, standoff: 8 },
    hoverformat: "%H:%M:%S",
  };
}

function powerAxis(colours, domain, more) {
  return Object.assign({
    domain, anchor: "x", gridcolor: colours.line, zeroline: true, zerolinecolor: colours.muted,
    zerolinewidth: 1, tickformat: "~s", ticksuffix: "W", fixedrange: true, nticks: 6,
    tickfont: { size: 11, color: colours.muted },
  }, more);
}

function rowTitle(text, domain, colours, shift) {
  return {
    text, xref: "paper", yref: "paper", x: 0, y: domain[1], xanchor: "left", yanchor: "bottom",
    yshift: shift === undefined ? 3 : shift, showarrow: false, align: "left",
    font: { size: 12.5, color: colours.text },
  };
}

/** Text for the plotting library, which reads a few tags: names from outside must not be read so. */
function plain(text) {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function box(span, run, yref, colours, from, to) {
  const tone = colours[SPAN_COLOURS[span.kind]];
  return {
    type: "rect", layer: "below", xref: "x", yref, y0: from, y1: to,
    x0: run.start_ms + 1000 * span.from, x1: run.start_ms + 1000 * span.to,
    fillcolor: fade(tone, span.kind === "fault" ? 0.13 : 0.09),
    line: { width: span.kind === "fault" ? 0.6 : 0, color: fade(tone, 0.6) },
  };
}

/** One lane a label: when each fault was on, when readings were stale, when all was safe. */
function spanLanes(run, colours, yaxis) {
  const labels = [...new Set(run.spans.map((s) => s.label))].slice(0, 14);
  const traces = labels.map((label, lane) => {
    const spans = run.spans.filter((s) => s.label === label);
    const tone = colours[SPAN_COLOURS[spans[0].kind]];
    const x = [], y = [];
    for (const span of spans) {
      x.push(run.start_ms + 1000 * span.from, run.start_ms + 1000 * span.to, null);
      y.push(lane, lane, null);
    }
    return {
      x, y, yaxis, type: "scatter", mode: "lines+markers", line: { width: 9, color: tone },
      marker: { symbol: "line-ns", size: 11, line: { width: 1.5, color: tone } }, hoverinfo: "skip",
      showlegend: false,
    };
  });
  return { labels, traces };
}

/** Points with one more wherever the line between two of them crosses zero. */
function withCrossings(points) {
  const x = [], y = [];
  points.x.forEach((at, i) => {
    const here = points.y[i], before = points.y[i - 1];
    if (here !== null && before && here * before < 0) {
      x.push(at - (at - points.x[i - 1]) * here / (here - before));
      y.push(0);
    }
    x.push(at);
    y.push(here);
  });
  return { x, y };
}

/** Net power as a line, filled in one colour above zero (import) and another below (export). */
function signedTraces(points, name, yaxis, colours) {
  const { x, y } = withCrossings(points);
  const side = (pick) => y.map((v) => (v === null ? null : pick(v)));
  const fill = (values, colour) => ({
    x, y: values, yaxis, type: "scatter", mode: "lines", line: { width: 0, color: colour },
    fill: "tozeroy", fillcolor: fade(colour, 0.45), hoverinfo: "skip", showlegend: false,
  });
  return [
    fill(side((v) => Math.max(v, 0)), colours.import),
    fill(side((v) => Math.min(v, 0)), colours.export),
    {
      x: points.x, y: points.y, yaxis, name, type: "scatter", mode: "lines",
      line: { width: 1, color: colours.text }, opacity: 0.85, hovertemplate: "%{y:,.0f} W",
    },
  ];
}

/** Leave out the points outside of spans. */
function keepWithin(points, spans, startMs) {
  points.y = points.y.map((y, i) => {
    const at = (points.x[i] - startMs) / 1000;
    return spans.some((s) => at >= s.from && at <= s.to) ? y : null;
  });
}

function lineTrace(points, name, yaxis, colour, more) {
  return Object.assign({
    x: points.x, y: points.y, yaxis, name, type: "scatter", mode: "lines",
    line: { width: 1.3, color: colour }, hovertemplate: "%{y:,.0f} W",
  }, more);
}

function legendAt(domain, colours) {
  return {
    x: 1, xanchor: "right", y: domain[1], yanchor: "bottom", orientation: "h",
    bgcolor: "rgba(0,0,0,0)", font: { size: 11, color: colours.text }, uirevision: "kept",
  };
}

/** The site's traces: spans, net power with other runs over it, phases, sources and sinks. */
function siteFigure(run, others, view, colours) {
  const has = (name) => run.series[name] !== undefined;
  const margin = { l: 64, r: 52, t: 6, b: 48 };
  const points = (series, groups) => pointsInView(series, view[0], view[1], groups, run.start_ms);
  const lanes = spanLanes(run, colours, "y");
  const rows = [{ gap: lanes.labels.length ? 20 : 0, height: Math.max(1, 17 * lanes.labels.length) }];
  const net = { gap: 28, height: 230 };
  rows.push(net);
  const phases = ["a", "b", "c"].filter((p) => has("grid_" + p)).map((p) => ({ p, gap: 26, height: 92 }));
  rows.push(...phases);
  const sources = { gap: 30, height: 190 };
  rows.push(sources);
  const layout = baseLayout(colours, margin, stackRows(rows, margin));
  const traces = [...lanes.traces];
  layout.xaxis = timeAxis(colours, view, run, "y9");
  layout.hovermode = "x unified";
  layout.hoversubplots = "axis";
  layout.showlegend = true;
  layout.yaxis = {
    domain: rows[0].domain, range: [lanes.labels.length - 0.5, -0.5], fixedrange: true, showgrid: false,
    zeroline: false, tickvals: lanes.labels.map((_, i) => i), ticktext: lanes.labels.map(() => ""),
  };
  lanes.labels.forEach((label, lane) => layout.annotations.push({
    text: plain(label), xref: "paper", x: 0, xanchor: "left", yref: "y", y: lane, yanchor: "middle",
    showarrow: false, font: { size: 11, color: colours.text }, bgcolor: fade(colours.card, 0.75), borderpad: 1,
  }));
  if (lanes.labels.length) layout.annotations.push(rowTitle("<b>Faults and states</b>", rows[0].domain, colours));

  layout.yaxis2 = powerAxis(colours, net.domain);
  layout.annotations.push(rowTitle("<b>Net grid power</b>  import above zero, export below", net.domain, colours));
  if (has("grid")) traces.push(...signedTraces(points(run.series.grid, 1400), plain(run.label), "y2", colours));
  if (has("meter")) {
    const lies = run.spans.filter((s) => s.kind === "fault" && s.label.startsWith("meter"));
    const told = points(run.series.meter, 1400);
    if (lies.length) keepWithin(told, lies, run.start_ms);
    traces.push(lineTrace(told, lies.length ? "the meter, while at fault" : "as the meter told it", "y2", colours.heat,
      { line: { width: 1.6, color: colours.heat, dash: "dot" }, visible: lies.length ? true : "legendonly" }));
  }
  others.forEach((other, i) => {
    if (!other.series.grid) return;
    const there = pointsInView(other.series.grid, view[0], view[1], 900, run.start_ms);
    traces.push(lineTrace(there, plain(other.label), "y2", OTHER_LINES[i % 6],
      { line: { width: 1.2, color: OTHER_LINES[i % 6], dash: DASHES[i % 6] } }));
  });
  layout.legend = legendAt(net.domain, colours);

  phases.forEach((row, i) => {
    const axis = 3 + i;
    layout["yaxis" + axis] = powerAxis(colours, row.domain, { nticks: 4, matches: i ? "y3" : undefined });
    layout.annotations.push(rowTitle(`Phase ${row.p}`, row.domain, colours, 1));
    for (const trace of signedTraces(points(run.series["grid_" + row.p], 900), `phase ${row.p}`, "y" + axis, colours)) {
      traces.push(Object.assign(trace, { showlegend: false }));
    }
  });

  layout.yaxis9 = powerAxis(colours, sources.domain);
  layout.annotations.push(rowTitle("<b>PV and consumers</b>", sources.domain, colours));
  const source = (key, name, colour, more) => {
    if (has(key)) traces.push(lineTrace(points(run.series[key], 1000), name, "y9", colour, Object.assign({ legend: "legend2" }, more)));
  };
  source("pv", "PV", colours.pv, { fill: "tozeroy", fillcolor: fade(colours.pv, 0.28) });
  source("pv_available", "PV available", colours.pv, { line: { width: 1, color: colours.pv, dash: "dash" } });
  source("household", "household", colours.household, { line: { width: 1, color: colours.household, dash: "dot" } });
  source("controlled", "controlled loads", colours.load, { line: { width: 1.6, color: colours.load } });
  source("battery", "battery (+ discharge)", colours.battery, { line: { width: 1.4, color: colours.battery, dash: "dash" } });
  layout.legend2 = legendAt(sources.domain, colours);

  const shaded = run.spans.filter((s) => s.kind === "fault" || run.spans.length < 80);
  for (const span of shaded) layout.shapes.push(box(span, run, "paper", colours, 0, net.domain[1]));
  return { traces, layout };
}

/** One row an actuator: power as area, command as step line, temperature or charge on the right. */
function actuatorFigure(run, view, colours) {
  const margin = { l: 64, r: 52, t: 6, b: 48 };
  const rows = run.actuators.map((actuator) => ({ actuator, gap: 25, height: 58 }));
  const layout = baseLayout(colours, margin, stackRows(rows, margin));
  const traces = [];
  layout.hovermode = "x unified";
  layout.xaxis = timeAxis(colours, view, run, "y" + (2 * rows.length - 1 === 1 ? "" : 2 * rows.length - 1));
  const heat = rows.flatMap((r) => (r.actuator.unit === "°C" && r.actuator.state ? stateRange(r.actuator.state) : []));
  const heatRange = heat.length ? [Math.min(...heat) - 3, Math.max(...heat) + 3] : [0, 100];
  rows.forEach((row, i) => {
    const { actuator, domain } = row;
    const left = 2 * i + 1 === 1 ? "y" : "y" + (2 * i + 1), right = "y" + (2 * i + 2);
    const points = (series) => pointsInView(series, view[0], view[1], 420, run.start_ms);
    const tone = actuator.kind === "battery" ? colours.battery : actuator.kind === "pv limit" ? colours.pv : colours.load;
    layout["yaxis" + left.slice(1)] = powerAxis(colours, domain, { nticks: 3, range: [actuator.low_w * 1.08, actuator.high_w * 1.12] });
    if (actuator.power) {
      traces.push(lineTrace(points(actuator.power), "power", left, tone,
        { fill: "tozeroy", fillcolor: fade(tone, 0.4), line: { width: 0.8, color: tone } }));
    }
    if (actuator.command) {
      traces.push(lineTrace(points(actuator.command), "command", left, colours.command,
        { line: { width: 1, color: colours.command, shape: "hv" } }));
    }
    if (actuator.state) {
      const range = actuator.unit === "°C" ? heatRange : [0, 100];
      layout["yaxis" + right.slice(1)] = {
        overlaying: left, side: "right", anchor: "x", range, fixedrange: true, showgrid: false, zeroline: false,
        tickmode: "auto", nticks: 3, ticksuffix: " " + actuator.unit, tickfont: { size: 11, color: colours.heat },
      };
      traces.push(lineTrace(points(actuator.state), actuator.unit === "°C" ? "tank" : "charge", right, colours.heat,
        { line: { width: 1.5, color: colours.heat, dash: "dot" }, hovertemplate: `%{y:.1f} ${actuator.unit}` }));
    }
    const phase = actuator.phases.length > 1 ? ", three-phase" : actuator.phases && `, phase ${actuator.phases}`;
    layout.annotations.push(rowTitle(
      `<b>${plain(actuator.id)}</b>  ${plain(actuator.kind)}${plain(phase)}, ${watts(actuator.high_w)}`, domain, colours, 1));
    for (const span of run.spans) {
      const own = span.target === actuator.id || (!span.target && span.kind === "fault");
      if (own) layout.shapes.push(box(span, run, `${left} domain`, colours, 0, 1));
    }
  });
  return { traces, layout };
}

function stateRange(series) {
  const values = [...series.first, ...series.second].filter((v) => !Number.isNaN(v));
  return values.length ? [Math.min(...values), Math.max(...values)] : [];
}

function watts(value) {
  return value >= 1000 ? `${+(value / 1000).toPrecision(3)} kW` : `${+value.toPrecision(3)} W`;
}

/** For how long export was at or above which power; both axes start at what is worth seeing. */
function curveFigure(run, others, colours) {
  const margin = { l: 64, r: 16, t: 12, b: 52 };
  const layout = baseLayout(colours, margin, 320);
  const traces = [run, ...others].filter((r) => r.curve).map((r, i) => ({
    x: r.curve.s, y: r.curve.w, name: plain(r.label), type: "scatter", mode: "lines",
    line: i ? { width: 1.6, color: OTHER_LINES[(i - 1) % 6], dash: DASHES[(i - 1) % 6] } : { width: 2, color: colours.export },
    fill: i ? "none" : "tozeroy", fillcolor: fade(colours.export, 0.18),
    customdata: r.curve.s.map(span), hovertemplate: "%{y:,.0f} W or more for %{customdata}<extra></extra>",
  }));
  const marks = [1, 10, 60, 600, 3600, 21600, 86400, 604800];
  layout.xaxis = {
    type: "log", tickvals: marks, ticktext: marks.map(span), gridcolor: colours.line, fixedrange: true,
    title: { text: "time at or above (logarithmic)", font: { size: 12, color: colours.muted } },
  };
  layout.yaxis = powerAxis(colours, [0, 1], { rangemode: "tozero" });
  layout.showlegend = others.length > 0;
  layout.legend = { x: 1, xanchor: "right", y: 1, yanchor: "top", bgcolor: fade(colours.card, 0.8) };
  return { traces, layout };
}

function span(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const [size, name] = units.find(([s]) => seconds >= s) || units[3];
  return `${+(seconds / size).toPrecision(2)} ${name}`;
}

/** How long deciding and the whole step took, in logarithmic bins. */
function latencyFigure(run, colours) {
  const margin = { l: 64, r: 16, t: 22, b: 52 };
  const layout = baseLayout(colours, margin, 330);
  const { edges, counts, percentiles } = run.latency;
  const tones = { decide: colours.accent, "whole step": colours.household };
  const traces = Object.keys(counts).sort().map((name) => ({
    x: edges, y: [...counts[name], 0], name, type: "scatter", mode: "lines",
    line: { shape: "hv", width: 1.5, color: tones[name], dash: name === "decide" ? "solid" : "dot" },
    fill: "tozeroy", fillcolor: fade(tones[name], name === "decide" ? 0.4 : 0.15),
    hovertemplate: "%{y} steps<extra>" + name + "</extra>",
  }));
  const tone = tones.decide;
  if (percentiles.decide) {
    layout.shapes.push({ type: "line", xref: "x", yref: "paper", y0: 0, y1: 1,
      x0: percentiles.decide[1], x1: percentiles.decide[1], line: { color: tone, width: 1, dash: "dash" } });
    layout.annotations.push({ text: "95 % of decisions are faster", xref: "x", x: Math.log10(percentiles.decide[1]),
      yref: "paper", y: 1, xanchor: "left", yanchor: "bottom", showarrow: false, font: { size: 11, color: tone } });
  }
  const marks = [0.1, 1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7];
  const names = ["0.1 µs", "1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s"];
  layout.xaxis = {
    type: "log", tickvals: marks, ticktext: names, gridcolor: colours.line, fixedrange: true,
    range: [Math.log10(edges[0]), Math.log10(edges[edges.length - 1])],
    title: { text: "duration (logarithmic)", font: { size: 12, color: colours.muted } },
  };
  layout.yaxis = {
    gridcolor: colours.line, fixedrange: true, rangemode: "tozero", tickfont: { size: 11, color: colours.muted },
    title: { text: "steps", font: { size: 12, color: colours.muted } },
  };
  layout.showlegend = true;
  layout.legend = { x: 1, xanchor: "right", y: 1, yanchor: "top", bgcolor: fade(colours.card, 0.8) };
  return { traces, layout };
}
