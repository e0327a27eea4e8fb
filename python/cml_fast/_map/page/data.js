"use strict";
// The data of the page: see payload.py for how they are packed, and docs/design/map.md for what
// they are.

const TYPES = {
  uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, int32: Int32Array,
  float32: Float32Array, float64: Float64Array,
};
const LARGEST = 65535; // of uint16, which stands for the largest distance, and for the whole side

async function unpack(text) {
  const characters = atob(text.trim());
  const packed = new Uint8Array(characters.length);
  for (let i = 0; i < packed.length; i++) packed[i] = characters.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const plain = await new Response(stream).arrayBuffer();
  const begin = 4 + new DataView(plain).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(plain, 4, begin - 4)));
  const arrays = {};
  for (const [name, { type, begin: at, length }] of Object.entries(header.arrays)) {
    arrays[name] = new TYPES[type](plain, begin + at, length);
  }
  return { header, arrays };
}

// Items and users, by row. A "thing" is {kind: "item" or "user", row}.
class Data {
  constructor({ header, arrays }) {
    this.header = header;
    this.arrays = arrays;
    this.nItems = header.names.length;
    this.nUsers = header.users.length;
    this.names = header.names;
    this.tags = header.tags ?? [];
    this.likes = arrays.likes ?? null;
    this.dates = arrays.dates ?? null;
    this.items = places(arrays.points);
    this.users = places(arrays["user points"] ?? new Uint16Array(0));
    this.raw = arrays["raw points"] ? places(arrays["raw points"]) : null;
    this.rawRows = arrays["raw rows"] ?? null;
  }

  nameOf({ kind, row }) {
    return kind === "user" ? this.header.users[row] : this.names[row];
  }

  idOf(item) {
    return this.header.ids ? this.header.ids[item] : null;
  }

  tagsOf(item) {
    const starts = this.arrays["tag starts"];
    return starts ? this.arrays["tag of items"].subarray(starts[item], starts[item + 1]) : [];
  }

  dateOf(item) {
    const date = this.dates ? this.dates[item] : NaN;
    return Number.isNaN(date) ? null : this.dateText(date);
  }

  dateText(date) {
    if (!this.header["dates are days"]) return String(Number(date.toPrecision(6)));
    return new Date(date * 86400000).toISOString().slice(0, 10);
  }

  // The nearest of a kind: for "nearest" and "users around" of an item, "nearest to users" of a user.
  listed(name, row) {
    const k = this.header[name];
    if (!k) return [];
    const scale = this.header[`largest of ${name} distances`] / LARGEST;
    const rows = this.arrays[name];
    const distances = this.arrays[`${name} distances`];
    const kind = name === "users around" ? "user" : "item";
    const found = [];
    for (let at = row * k; at < (row + 1) * k; at++) {
      found.push({ kind, row: rows[at], distance: distances[at] * scale });
    }
    return found;
  }

  likedBy(user) {
    const starts = this.arrays["liked starts"];
    return starts ? this.arrays.liked.subarray(starts[user], starts[user + 1]) : null;
  }
}

function places(points) {
  const n = points.length / 2;
  const x = new Float32Array(n);
  const y = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    x[i] = (points[2 * i] / LARGEST) * 2 - 1;
    y[i] = (points[2 * i + 1] / LARGEST) * 2 - 1;
  }
  return { x, y };
}

function counted(n, one, many = `${one}s`) {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}
