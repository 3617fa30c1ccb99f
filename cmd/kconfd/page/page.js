"use strict";

// The page asks for /status whenever /live says that something has changed, and
// shows it. Whatever comes from there is text, and never markup.

const byId = (id) => document.getElementById(id);

// h makes an element: attributes by name, then children, which are elements, text,
// lists of them, or nothing.
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((c) => c || c === 0));
  return element;
}

const icons = {
  applied: "M3.5 8.5l3 3 6-7", pending: "M4 8h.01M8 8h.01M12 8h.01", waiting: "M8 4.5V8l2.5 1.8",
  held: "M6 5v6M10 5v6", owed: "M8 4v4.5M8 11.5h.01", queued: "M4 5.5h8M4 8.5h8M4 11.5h4",
  failed: "M5 5l6 6M11 5l-6 6", rolledback: "M4.5 6.5h4.5a2.5 2.5 0 0 1 0 5H7M6.5 4l-2.5 2.5 2.5 2.5",
};

const words = { rolledback: "rolled back" };

function badge(state) {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(ns, "path");
  path.setAttribute("d", icons[state] || icons.pending);
  svg.append(path);
  return h("span", { class: "badge", "data-state": state }, svg, words[state] || state);
}

// Times are shown as they look now, by kconfd's clock, and kept up to date.
let skew = 0;

function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 100) return s + " s";
  if (s < 100 * 60) return Math.round(s / 60) + " min";
  if (s < 48 * 3600) return Math.round(s / 3600) + " h";
  return Math.round(s / 86400) + " d";
}

const kinds = {
  ago: (ms) => (ms < 2000 ? "just now" : span(ms) + " ago"),
  since: (ms) => "for " + span(ms),
  until: (ms) => (ms > -1000 ? "now" : "in " + span(-ms)),
};

function when(iso, kind) {
  const t = h("time", { datetime: iso, "data-kind": kind, title: new Date(iso).toLocaleString() });
  t.textContent = kinds[kind](Date.now() + skew - Date.parse(iso));
  return t;
}

function tick() {
  for (const t of document.querySelectorAll("time")) {
    const text = kinds[t.dataset.kind](Date.now() + skew - Date.parse(t.dateTime));
    if (t.textContent !== text) t.textContent = text;
  }
}

// own leaves out the namespace that is kconfd's own.
let namespace = "";

function own(name) { return h("span", { title: name }, name.replaceAll(` in namespace "${namespace}"`, "")); }

// What has not changed keeps its element, and with it what is selected or open.
const kept = new Map();

function keep(key, data, build) {
  const text = JSON.stringify(data);
  const before = kept.get(key);
  if (before && before.text === text) return before.node;
  const node = build(data);
  if (before) {
    const open = [...before.node.querySelectorAll("details")].map((d) => d.open);
    node.querySelectorAll("details").forEach((d, i) => { if (i < open.length) d.open = open[i]; });
  }
  kept.set(key, { text, node });
  return node;
}

function place(parent, nodes) {
  if (nodes.length !== parent.children.length || nodes.some((n, i) => parent.children[i] !== n)) parent.replaceChildren(...nodes);
}

function forget(used) {
  for (const key of kept.keys()) if (!used.has(key)) kept.delete(key);
}

// How far a group's newest data has come, and where it stops.
function track(group) {
  const steps = group.action === "none" ? ["data", "rendered", "live"] : ["data", "rendered", "live", "told"];
  const stops = { pending: 1, waiting: 0, held: 1, failed: (group.reason || "").startsWith("rendering ") ? 1 : 2, rolledback: 2, queued: 3, owed: 3 };
  const stop = group.state in stops ? Math.min(stops[group.state], steps.length - 1) : steps.length;
  return h("ol", { class: "track", "aria-hidden": "true" }, ...steps.map((step, i) =>
    h("li", { class: i < stop ? "done" : i === stop ? "stop" : undefined }, step)));
}

function title(name) {
  const cut = /^\S*\/\S*$/.test(name) ? name.lastIndexOf("/") + 1 : 0;
  return [cut > 0 && h("span", { class: "dir" }, name.slice(0, cut)), name.slice(cut)].filter(Boolean);
}

function last(name) { return title(name).at(-1); }

// rest is the last element of a list that kconfd has cut.
function rest(tag, n) { return n ? [h(tag, { class: "soft" }, "and " + n + " more")] : []; }

function file(f) {
  return h("div", null,
    h("div", { class: "file" }, h("code", { class: "path" }, f.path),
      f.template === f.path ? null : h("span", { class: "soft" }, "from ", h("code", null, f.template)),
      f.written && when(f.written, "ago")),
    h("ul", { class: "tree" }, ...f.dependencies.map((d) => h("li", null, own(d.name),
      d.changed && h("span", { class: "new" }, d.object && h("b", null, d.object), d.object && " ", when(d.changed, "ago")),
      d.empty && h("p", { class: "why", "data-state": "waiting" }, "empty: " + d.empty))),
    f.more_dependencies && h("li", null, "and " + f.more_dependencies + " more")));
}

function gate(g) {
  return h("div", { class: "gate" }, h("span", { class: "soft" }, "Gate "), h("code", null, g.lease),
    h("div", { class: "line" }, ...(g.holders || []).map((who) => h("span", { class: "in" }, who + " acts")),
      ...(g.queue || []).map((who, i) => h("span", null, i + 1 + ". " + who)),
      !(g.holders || []).length && !(g.queue || []).length && h("em", { class: "soft" }, "open, nobody waits")),
    (g.stopped_by || g.reason) && h("p", { class: "why", "data-state": "failed" },
      g.stopped_by ? "Stopped by " + g.stopped_by + (g.reason ? ": " + g.reason : "") : g.reason));
}

// output is what a check or an action has printed last.
function output(o) {
  const what = o.of === "check" ? "Output of the check" : "Output of the action";
  return h("details", { class: "output" },
    h("summary", null, what, o.file && [" of ", h("code", null, o.file)], o.failed && ", which failed", " · ", when(o.time, "ago")),
    h("pre", { tabindex: "0" }, h("span", null, o.text)));
}

function group(g) {
  return h("article", { class: "card group" + (g.working ? " working" : ""), "data-state": g.state },
    h("div", { class: "head" },
      h("div", null, h("h3", null, ...title(g.name)), h("p", { class: "stand" }, badge(g.state), " ", when(g.since, "since"))),
      track(g)),
    (g.reason || g.next_try) && h("p", { class: "why" }, g.reason, g.next_try && (g.reason ? ". Next try " : "Next try "), g.next_try && when(g.next_try, "until")),
    g.stale && h("p", { class: "why", "data-state": "held" }, "The data may be old: " + g.stale),
    h("div", { class: "files" }, ...g.files.map(file), ...rest("p", g.more_files)),
    h("p", { class: "tells" }, g.action === "none" ? "No action" : ["Action ", h("code", null, g.action)],
      g.applied && [g.action === "none" ? " · last change " : " · last ", when(g.applied, "ago")]),
    ...(g.outputs || []).map(output),
    g.gate && gate(g.gate));
}

function diff(text) {
  const lines = text.replace(/\n$/, "").split("\n");
  let plus = 0, minus = 0, header = 0;
  const spans = lines.map((line) => {
    if (line.startsWith("--- ")) header = 2;
    const kind = header-- > 0 || line.startsWith("@@") ? "at" : line.startsWith("+") ? "plus" : line.startsWith("-") ? "minus" : undefined;
    if (kind === "plus") plus++;
    if (kind === "minus") minus++;
    return h("span", { class: kind }, line || " ");
  });
  return [h("summary", null, h("span", { class: "plus" }, "+" + plus), " ", h("span", { class: "minus" }, "−" + minus), plus + minus === 1 ? " line" : " lines"),
    h("pre", { tabindex: "0" }, ...spans)];
}

function change(c, open) {
  const ms = c.duration_seconds * 1000;
  return h("li", null,
    h("div", { class: "change-head" }, badge(c.outcome), h("b", null, last(c.group)),
      c.times > 1 && h("span", { class: "soft" }, c.times + " times"), when(c.time, "ago")),
    h("p", { class: "because" }, own(c.trigger || "data"), " · took " + (ms < 1000 ? Math.round(ms) + " ms" : span(ms)) +
      (c.files.length || c.outcome !== "applied" ? "" : " · no file is different")),
    c.reason && h("p", { class: "why", "data-state": c.outcome }, c.reason),
    c.diff && h("details", open ? { open: "", "data-newest": "" } : null, diff(c.diff)));
}

// closeOlder closes what was opened for being the newest, unless somebody reads it.
function closeOlder() {
  for (const d of document.querySelectorAll("#changes > li:not(:first-child) details[data-newest]")) {
    d.removeAttribute("data-newest");
    if (!d.matches(":hover, :focus-within")) d.open = false;
  }
}

function watch(w) {
  const how = w.error ? h("span", { class: "ill" }, w.error) : !w.listed ? h("span", { class: "ill" }, "not listed yet")
    : !w.healthy ? h("span", { class: "ill" }, "silent") : null;
  return h("li", null, h("div", null, own(w.name)), how && h("div", null, how),
    h("div", { class: "soft" }, w.objects + (w.objects === 1 ? " object" : " objects") + " · heard ", w.progress && when(w.progress, "ago")));
}

function child(c) {
  const state = c.ready ? "applied" : c.state === "running" || c.state === "preparing" ? "pending" : c.state === "ended" ? "failed" : "waiting";
  const b = badge(state);
  b.lastChild.textContent = c.ready ? "ready" : c.state === "running" ? "running, not ready" : c.state;
  return h("div", { class: "card child", "data-state": state }, b, h("p", null, h("code", null, c.command)),
    h("p", { class: "soft" }, c.instance > 1 ? "Started " + c.instance + " times, the last " : c.instance ? "Started " : "Not started yet", c.since && when(c.since, "ago")),
    c.waits && h("p", null, "Waits for its turn to stop: " + c.waits),
    c.refused && h("p", null, "Not with the command line that is asked for: " + c.refused),
    c.outdated && h("p", null, "Changed since it was started: " + c.outdated.join(", ")));
}

const severity = ["applied", "pending", "queued", "waiting", "held", "owed", "rolledback", "failed"];
const count = (n, one, more) => n + " " + (n === 1 ? one : more);

// verdict is all of it in one sentence, and the state that gives it its colour.
function verdict(s) {
  const worst = s.groups.map((g) => g.state).reduce((a, b) => (severity.indexOf(b) > severity.indexOf(a) ? b : a), "applied");
  const total = s.groups.length + (s.more_groups || 0);
  const off = s.groups.filter((g) => g.state !== "applied");
  if (off.length) {
    const states = severity.filter((w) => off.some((g) => g.state === w)).reverse();
    const parts = states.map((w) => off.filter((g) => g.state === w).length + " " + (words[w] || w));
    if (total === 1) return [last(s.groups[0].name) + " is " + (words[worst] || worst), worst];
    if (states.length === 1) return [off.length + " of " + total + " groups " + (off.length === 1 ? "is " : "are ") + (words[worst] || worst), worst];
    return [off.length + " of " + total + " groups are not applied: " + parts.join(", "), worst];
  }
  const all = total === 0 ? "" : total === 1 ? last(s.groups[0].name) + " is applied" : "All " + total + " groups are applied";
  if (s.child && !s.child.ready) return [(all ? all + ", " : "") + s.child.command + " is not ready", "pending"];
  if (s.groups.some((g) => g.stale)) return [all + ", but data may be old", "held"];
  return [all || (s.child ? s.child.command + " is ready" : "There are no groups"), "applied"];
}

function facts(s) {
  const ill = s.watches.filter((w) => !w.healthy).length, watches = s.watches.length + (s.more_watches || 0);
  const b = (text) => h("b", null, text);
  return [
    s.child && h("li", null, s.child.command + " ", b(s.child.ready ? "ready" : s.child.state)),
    h("li", null, b(ill ? ill + " of " + count(watches, "watch", "watches") + " ill" : count(watches, "watch works", "watches work"))),
    s.changes.length ? h("li", null, "last change ", when(s.changes[0].time, "ago")) : h("li", null, "no changes yet"),
    h("li", null, "up ", when(s.started, "since")),
    h("li", null, "version " + s.version),
  ].filter(Boolean);
}

function notices(s) {
  return [
    s.noop && h("p", { class: "why notice" }, h("b", null, "With -noop"), " nothing is written and nobody is told."),
    s.refused && h("p", { class: "why notice" }, h("b", null, "The configuration on disk is refused"), ", the one before stays: " + s.refused),
  ].filter(Boolean);
}

function show(s) {
  skew = Date.parse(s.time) - Date.now();
  namespace = s.namespace || "";
  const used = new Set();
  const item = (kind, name, data, build) => { used.add(kind + name); return keep(kind + name, data, build); };
  const [sentence, state] = verdict(s);
  byId("band").dataset.state = state;
  byId("sign").replaceChildren(badge(state));
  if (byId("verdict").textContent !== sentence) byId("verdict").textContent = sentence;
  document.title = (s.ready ? "" : "● ") + sentence + " – " + s.name;
  byId("who").replaceChildren(h("b", null, s.name), s.namespace ? " in " + s.namespace : "");
  byId("facts").replaceChildren(...facts(s));
  byId("notices").replaceChildren(...notices(s));
  const groups = s.groups.map((g, i) => [severity.indexOf(g.state), i, g]).sort((a, b) => b[0] - a[0] || a[1] - b[1]).map((x) => x[2]);
  place(byId("groups"), [...groups.map((g) => item("group ", g.name, g, group)), ...rest("p", s.more_groups)]);
  byId("groups-section").hidden = !groups.length;
  byId("child-section").hidden = !s.child;
  if (s.child) place(byId("child"), [item("child", "", s.child, child)]);
  place(byId("watches"), s.watches.length ? [...s.watches.map((w) => item("watch ", w.name, w, watch)), ...rest("li", s.more_watches)] : [h("li", { class: "empty" }, "None: nothing is read from Kubernetes.")]);
  place(byId("changes"), s.changes.length ? [...s.changes.map((c, i) => item("change ", c.time + c.group, c, (d) => change(d, i === 0))), ...rest("li", s.more_changes)]
    : [h("li", { class: "empty" }, "Nothing has changed since kconfd was started.")]);
  closeOlder();
  forget(used);
  tick();
}

function live(on, text) {
  byId("live").dataset.live = on;
  byId("live").textContent = text;
  document.body.toggleAttribute("data-lost", on === "off");
}

// One request at a time; what changes meanwhile is asked for afterwards.
let asking = false, again = false, streaming = false;

async function refresh() {
  if (asking) { again = true; return; }
  asking = true;
  try {
    const answer = await fetch("status", { signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(await answer.text());
    show(await answer.json());
    live("on", streaming ? "live" : "every few seconds");
  } catch (e) {
    live("off", "no answer");
  }
  asking = false;
  if (again) { again = false; refresh(); }
}

function listen() {
  const source = new EventSource("live");
  source.onopen = () => { streaming = true; refresh(); };
  source.onmessage = refresh;
  source.onerror = () => {
    streaming = false;
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 10000);
    refresh();
  };
}

setInterval(tick, 1000);
let rounds = 0;
setInterval(() => { if (!document.hidden && (!streaming || ++rounds % 5 === 0)) refresh(); }, 3000); // watches show signs of life in between
listen();
