// Colours: of Okabe and Ito, which stay apart with the common kinds of colour blindness, with two
// more that differ from them in lightness; and viridis for numbers.

const GROUP_COLOURS = {
  light: ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#332288", "#8a8a1e"],
  dark: ["#3f9be0", "#f0ab1f", "#1fbf92", "#ef7130", "#e08fbd", "#8fd3ff", "#a99bf0", "#ddd65a"],
};
const VIRIDIS = ["#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#fde725"];
const STEPS = 24;
const ENDS = 0.01;
const USER = { light: "#9a9da3", dark: "#7d8188" };
const OTHER = { light: "#c3c6cb", dark: "#565b62" };
const MUTED = { light: "#dfe1e4", dark: "#2f3338" };
// The first colours of every palette; those of groups, or of numbers, follow.
const [USER_AT, OTHER_AT, MUTED_AT, FIRST_AT] = [0, 1, 2, 3];

function ramp(theme) {
  // Much is what stands out: dark on light, light on dark.
  const stops = theme === "dark" ? VIRIDIS.slice(1) : VIRIDIS.slice(0, 7).reverse();
  return Array.from({ length: STEPS }, (_, i) => {
    const at = (i / (STEPS - 1)) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    return mixed(stops[low], stops[low + 1], at - low);
  });
}

// The shares of red, green and blue of a colour, from 0 to 1.
function shares(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255);
}

function mixed(one, other, share) {
  const parts = [1, 3, 5].map((at) => {
    const [a, b] = [one, other].map((colour) => parseInt(colour.slice(at, at + 2), 16));
    return Math.round(a + (b - a) * share).toString(16).padStart(2, "0");
  });
  return `#${parts.join("")}`;
}

// What the items can be coloured by. Each gives the number of the colour of an item after FIRST_AT,
// or -1 for none, and what the legend shows.
function schemes(data) {
  const found = {};
  if (data.tags.length) found.tag = tagScheme(data);
  found.cluster = clusterScheme(data);
  if (data.likes) {
    const title = "Popularity (likes)";
    found.popularity = numberScheme(title, data.likes, (v) => Math.log1p(v), (v) => v.toLocaleString("en"));
  }
  if (data.dates) {
    found.date = numberScheme("Date", data.dates, (v) => v, (v) => data.dateText(v));
  }
  return found;
}

function tagScheme(data) {
  const shown = Math.min(GROUP_COLOURS.light.length, data.tags.length);
  const counts = new Uint32Array(data.tags.length);
  const of = new Int8Array(data.nItems).fill(-1);
  for (let item = 0; item < data.nItems; item++) {
    for (const tag of data.tagsOf(item)) {
      counts[tag]++;
      if (of[item] < 0 && tag < shown) of[item] = tag;
    }
  }
  const groups = data.tags.slice(0, shown).map((name, at) => ({ name, count: counts[at] }));
  const has = (item, tag) => data.tagsOf(item).includes(tag);
  return { title: "Tag", of, groups, has, rest: data.tags.length > shown ? "other tags" : null };
}

function clusterScheme(data) {
  const of = Int8Array.from(data.arrays.clusters);
  const counts = new Uint32Array(data.header.clusters.length);
  for (const cluster of of) counts[cluster]++;
  const groups = data.header.clusters.map((name, at) => ({ name, count: counts[at] }));
  return { title: "Cluster", of, groups, has: (item, cluster) => of[item] === cluster, rest: null };
}

function numberScheme(title, values, scaled, text) {
  const known = Float64Array.from(values.filter((value) => !Number.isNaN(value))).sort();
  // The few beyond these have the colours of the ends; they would leave one colour to all others.
  const at = (share) => known[Math.round((known.length - 1) * share)] ?? 0;
  const [low, high] = [at(ENDS), at(1 - ENDS)];
  const [from, to] = [scaled(low), scaled(high)];
  const of = Int8Array.from(values, (value) => {
    if (Number.isNaN(value)) return -1;
    const share = to > from ? (scaled(value) - from) / (to - from) : 1;
    return Math.round(Math.min(1, Math.max(0, share)) * (STEPS - 1));
  });
  return { title, of, low: `≤ ${text(low)}`, high: `≥ ${text(high)}` };
}

function palette(scheme, theme) {
  const own = scheme.groups ? GROUP_COLOURS[theme] : ramp(theme);
  return [USER[theme], OTHER[theme], MUTED[theme], ...own];
}
