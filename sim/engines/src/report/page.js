'use strict';
// Everything comes from the data above; nothing is fetched, and no text becomes markup.
const data = JSON.parse(document.getElementById('data').textContent);
const $ = (id) => document.getElementById(id);
const make = (tag, text, name) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
};
const seconds = (ms) => `${Math.floor(ms / 1000)}.${String(ms % 1000).padStart(3, '0')}`;
const KINDS = { fault: 'fault', act: 'act', seen: 'seen', told: data.is_recorded ? '' : 'engine', marked: '', end: '' };
const ROW = 21;

const steps = data.steps;
// Where no step says of itself that it is the bad end, that is the last one that happened by then.
const marked = steps.findIndex((step) => step.b);
const broken = !data.end || marked >= 0 ? marked : steps.reduce((last, step, at) => (step.t <= data.end.at ? at : last), 0);
let at = 0;
let shown = steps.map((_, number) => number);

// How everyone stands after a step: kept now and then, and worked out from there.
const EVERY = 500;
const change = (state, step, own) => {
  for (const [of, what, to] of step.d ?? []) {
    // What is kept is shared until it changes.
    if (!own.has(of)) state.set(of, new Map(state.get(of)));
    own.add(of);
    if (what === '') state.get(of).clear();
    else if (to === '') state.get(of).delete(what);
    else state.get(of).set(what, to);
  }
};
const kept = [];
const whom = new Set(Object.keys(data.begin));
{
  const state = new Map(Object.entries(data.begin).map(([of, what]) => [of, new Map(Object.entries(what))]));
  const own = new Set();
  steps.forEach((step, number) => {
    if (number % EVERY === 0) {
      kept.push(new Map(state));
      own.clear();
    }
    change(state, step, own);
    for (const [of] of step.d ?? []) whom.add(of);
  });
}
function stateAt(number, of) {
  const from = Math.floor(number / EVERY);
  const state = new Map([[of, new Map(kept[from]?.get(of))]]);
  const own = new Set([of]);
  for (let step = from * EVERY; step <= number; step += 1) {
    const d = (steps[step].d ?? []).filter(([name]) => name === of);
    change(state, { d }, own);
  }
  return state.get(of);
}

const SVG = 'http://www.w3.org/2000/svg';
const draw = (tag, attributes, text) => {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
};
const LEFT = 96;
const LANE = 15;
const rank = (lane) => ['publishers', 'bus', 'sessions', 'clients'].indexOf(lane);
const lanes = [...new Set(data.spans.map((span) => span.lane))].sort((one, other) => {
  const order = (lane) => (rank(lane) === 0 ? 0 : /^(place|node) /.test(lane) ? 2 : rank(lane) > 0 ? 1 : 3);
  return order(one) - order(other) || one.localeCompare(other, 'en', { numeric: true });
});
let cursor;
let x = () => 0;
function drawTime() {
  const width = Math.max(400, $('lanes').clientWidth);
  const height = 20 + lanes.length * LANE + 4;
  const lasts = Math.max(1, data.lasts - data.from);
  x = (ms) => LEFT + ((width - LEFT - 12) * (ms - data.from)) / lasts;
  const svg = draw('svg', { viewBox: `0 0 ${width} ${height}`, height, role: 'img', 'aria-label': `${lanes.length} lanes over ${seconds(lasts)} seconds` });
  const room = (width - LEFT) / 80;
  const ticks = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600].find((tick) => lasts / 1000 / tick <= room) ?? Math.ceil(lasts / 1000 / room / 600) * 600;
  for (let tick = Math.ceil(data.from / 1000 / ticks) * ticks; tick * 1000 <= data.lasts; tick += ticks) {
    svg.append(draw('line', { class: 'grid', x1: x(tick * 1000), x2: x(tick * 1000), y1: 16, y2: height }));
    svg.append(draw('text', { x: x(tick * 1000) + 2, y: 12 }, `${tick} s`));
  }
  lanes.forEach((lane, number) => {
    const label = draw('text', { x: LEFT - 6, y: 20 + number * LANE + 11, 'text-anchor': 'end' }, lane.length > 15 ? `${lane.slice(0, 14)}…` : lane);
    label.append(draw('title', {}, lane));
    svg.append(label);
  });
  const row = new Map(lanes.map((lane, number) => [lane, number]));
  for (const span of data.spans) {
    const top = 20 + row.get(span.lane) * LANE;
    const thin = span.kind === 'stalled' || span.kind === 'leaving';
    const moment = span.kind === 'mark' || span.kind === 'blow';
    const rect = draw('rect', {
      class: span.kind, x: x(span.from), y: top + (thin ? 7 : 2), height: thin ? 4 : 11, rx: 1,
      width: moment ? (span.kind === 'blow' ? 3 : 1.5) : Math.max(1.5, x(span.to) - x(span.from)),
    });
    rect.append(draw('title', {}, `${span.lane}: ${span.words}, ${seconds(span.from)}${moment ? '' : ` to ${seconds(span.to)}`} s`));
    svg.append(rect);
  }
  if (data.end) svg.append(draw('line', { class: 'violation', x1: x(data.end.at), x2: x(data.end.at), y1: 14, y2: height }));
  cursor = draw('line', { class: 'cursor', y1: 14, y2: height });
  svg.append(cursor);
  svg.addEventListener('click', (event) => {
    const box = svg.getBoundingClientRect();
    const ms = ((((event.clientX - box.left) * width) / box.width - LEFT) * lasts) / (width - LEFT - 12) + data.from;
    go(shown.reduce((best, number) => (Math.abs(steps[number].t - ms) < Math.abs(steps[best].t - ms) ? number : best), shown[0] ?? 0));
  });
  $('lanes').replaceChildren(svg);
}

function filter() {
  const kinds = {
    all: () => true,
    outside: (step) => step.k !== 'told',
    told: (step) => step.k === 'told' || step.k === 'end',
    acts: (step) => step.k !== 'told' && step.k !== 'seen',
  }[$('kinds').value];
  const chosen = $('whom').value;
  const name = new RegExp(`(^|[^A-Za-z0-9.])${chosen.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}($|[^A-Za-z0-9.])`);
  const names = (step) => name.test(step.x) || (step.o ?? []).some((line) => name.test(line)) || (step.d ?? []).some(([of]) => of === chosen) || (step.w ?? []).includes(chosen);
  const only = $('only').checked && chosen !== '';
  shown = [];
  steps.forEach((step, number) => {
    if (kinds(step) && (!only || names(step) || number === broken)) shown.push(number);
  });
  go(shown.reduce((best, number) => (number <= at ? number : best), shown[0] ?? 0));
}

const place = () => Math.max(0, shown.indexOf(at));
function go(number) {
  at = number ?? at;
  show();
}
const stepBy = (count) => go(shown[Math.min(shown.length - 1, Math.max(0, place() + count))]);

function show() {
  const step = steps[at];
  const here = place();
  $('where').textContent = shown.length === 0 ? 'no step is like that' : `step ${here + 1} of ${shown.length}, ${seconds(step.t)} s`;
  for (const id of ['first', 'back']) $(id).disabled = here === 0;
  for (const id of ['next', 'last']) $(id).disabled = here >= shown.length - 1;
  cursor.setAttribute('x1', x(step.t));
  cursor.setAttribute('x2', x(step.t));
  const fits = Math.max(6, Math.floor(($('steps').clientHeight - 6) / ROW));
  const top = Math.max(0, Math.min(here - Math.floor(fits / 2), shown.length - fits));
  $('rows').replaceChildren(...shown.slice(top, top + fits).map((number) => {
    const { t, k, x: text } = steps[number];
    const row = make('li', undefined, number === broken ? `${k} bad` : k);
    row.setAttribute('role', 'option');
    row.setAttribute('aria-selected', String(number === at));
    row.id = `step-${number}`;
    row.title = text;
    row.append(make('time', seconds(t)), make('span', number === broken ? (data.is_recorded ? 'here' : 'broken') : KINDS[k], 'kind'), make('span', text));
    row.addEventListener('click', () => go(number));
    return row;
  }));
  $('rows').setAttribute('aria-activedescendant', `step-${at}`);
  $('what').textContent = `${seconds(step.t)} s: ${step.x}`;
  const lines = (step.o ?? []).map((line) => make('li', line));
  if (lines.length === 0 && step.k === 'told') lines.push(make('li', 'nothing is to be done'));
  if (at === broken) lines.unshift(make('li', `${data.end.name}: ${data.end.words}`));
  $('decided').replaceChildren(...lines);
  const chosen = $('whom').value;
  const now = stateAt(at, chosen);
  const fresh = new Set((step.d ?? []).filter(([of]) => of === chosen).map(([, what]) => what));
  const rows = [...now].map(([what, to]) => {
    const row = make('tr', undefined, fresh.has(what) ? 'new' : '');
    const head = make('th', what);
    head.scope = 'row';
    row.append(head, make('td', to));
    return row;
  });
  $('state').replaceChildren(...(rows.length > 0 ? rows : [make('tr', 'nothing is known of it at this step')]));
}

const GROUPS = [['Connections', /^c\d/], ['Users', /^(u\d|user |trade)/], ['Topics', /^(market|portfolio|quote)/], ['Nodes', /^(n\d|node )/], ['Others', /./]];
{
  const left = [...whom].sort((one, other) => one.localeCompare(other, 'en', { numeric: true }));
  for (const [label, like] of GROUPS) {
    const group = make('optgroup');
    group.label = label;
    for (const name of left.filter((one) => GROUPS.find(([, first]) => first.test(one))[1] === like)) group.append(make('option', name));
    if (group.children.length > 0) $('whom').append(group);
  }
  // Whoever the violation is about comes first.
  const words = (data.end?.words ?? '').match(/[a-z]+\(?[a-z]?\d+\)?/g) ?? [];
  const about = words.find((word) => whom.has(word));
  if (about) $('whom').value = about;
}

document.title = `Tradewire run: ${data.words}`;
$('words').textContent = data.words;
$('again').textContent = data.again;
if (data.end) {
  $('end').className = 'bad';
  $('end').textContent = `${data.end.name} at ${seconds(data.end.at)} s: ${data.end.words}`;
} else {
  $('end').textContent = data.well;
  $('violation').disabled = true;
}
const notes = [];
if (data.left_out > 0) notes.push(`The first ${data.left_out} steps are left out: the run is too long for one page. State is right all the same${data.begin_is_full ? ', but of some it is not known how they stood before' : ''}.`);
if (data.undrawn > 0) notes.push(`${data.undrawn} moments and spans are not drawn.`);
$('note').textContent = notes.join(' ');
// What can be drawn, with its words.
const LEGEND = {
  up: 'node is up', leaving: 'is leaving', away: 'no contact with the bus', wrong: 'fault', blow: data.is_recorded ? 'marked' : 'fault, a moment',
  in: 'client is in', trying: 'tries to get in', stalled: data.is_recorded ? 'congested' : 'does not read', mark: 'act',
};
const drawn = new Set(data.spans.map((span) => span.kind));
for (const [kind, words] of Object.entries(LEGEND)) {
  if (drawn.has(kind)) $('legend').append(make('i', undefined, kind), make('span', words));
}
if (data.is_recorded) {
  // A recording has no acts, and its engine's steps are all there is.
  for (const option of $('kinds').querySelectorAll('[value=outside], [value=told]')) option.remove();
  $('kinds').querySelector('[value=acts]').textContent = 'what is marked alone';
  $('fault').textContent = 'Next mark';
  $('violation').textContent = 'Where it ends';
  for (const word of document.querySelectorAll('.fault-word')) word.textContent = 'mark';
  for (const word of document.querySelectorAll('.violation-word')) word.textContent = 'where it ends';
}
const name = () => { $('chosen').textContent = $('whom').value; };
const fault = () => go(shown.find((number) => number > at && ['fault', 'marked'].includes(steps[number].k)) ?? at);
const violation = () => {
  if (broken < 0) return;
  if (!shown.includes(broken)) {
    $('kinds').value = 'all';
    filter();
  }
  go(broken);
};
const keys = {
  ArrowLeft: () => stepBy(-1), k: () => stepBy(-1), ArrowUp: () => stepBy(-1),
  ArrowRight: () => stepBy(1), j: () => stepBy(1), ArrowDown: () => stepBy(1),
  PageUp: () => stepBy(-20), PageDown: () => stepBy(20),
  Home: () => stepBy(-Infinity), End: () => stepBy(Infinity), f: fault, v: violation,
};
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches('select, input')) return;
  const does = keys[event.key];
  if (does) {
    event.preventDefault();
    does();
  }
});
$('first').addEventListener('click', keys.Home);
$('back').addEventListener('click', keys.k);
$('next').addEventListener('click', keys.j);
$('last').addEventListener('click', keys.End);
$('fault').addEventListener('click', fault);
$('violation').addEventListener('click', violation);
$('kinds').addEventListener('change', filter);
$('only').addEventListener('change', filter);
$('whom').addEventListener('change', () => { name(); if ($('only').checked) filter(); else show(); });
$('rows').addEventListener('wheel', (event) => { event.preventDefault(); stepBy(Math.sign(event.deltaY) * 3); }, { passive: false });
addEventListener('resize', () => { drawTime(); show(); });
name();
drawTime();
if (steps.length > 0) go(broken >= 0 ? broken : 0);
