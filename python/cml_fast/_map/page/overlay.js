// What is written over the points: names, and marks at what is selected or under the pointer.

const HALO = 3;
const [NAMES_FAR, NAMES_NEAR] = [9, 26]; // of items, when all is seen and from near
const TRIED = 3000; // items that are tried before the most popular ones are given up on
const CUT = 28; // characters of a name on the map

class Overlay {
  constructor(canvas, plot) {
    this.canvas = canvas;
    this.plot = plot;
    this.context = canvas.getContext("2d");
  }

  resize(width, height) {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    [this.width, this.height, this.ratio] = [width, height, ratio];
  }

  draw() {
    const { context, plot } = this;
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(name).trim();
    this.colours = { text: read("--text"), ground: read("--ground"), accent: read("--accent"), quiet: read("--quiet") };
    this.font = getComputedStyle(document.body).fontFamily;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    this.taken = this.corners();
    const { selection, hovered } = plot.app;
    if (selection) this.drawSelection(selection);
    else this.drawNames();
    if (hovered) this.drawHovered(hovered);
  }

  // Names stay clear of what else lies over the map.
  corners() {
    const box = this.canvas.getBoundingClientRect();
    return ["legend", "zoom", "switch"].map((id) => document.getElementById(id).getBoundingClientRect())
      .filter((other) => other.width)
      .map((other) => [other.left - box.left, other.top - box.top, other.right - box.left, other.bottom - box.top]);
  }

  at(thing) {
    const place = this.plot.placeOf(thing);
    if (!place) return null;
    const [x, y] = this.plot.camera.toScreen(place.x, place.y);
    return x < -20 || y < -20 || x > this.width + 20 || y > this.height + 20 ? null : { x, y };
  }

  drawNames() {
    const { data, app, camera, rows } = this.plot;
    if (!rows) {
      const named = app.schemeName === "tag" ? data.header["tag anchors"] : [];
      const groups = named.map(([tag, item]) => [data.tags[tag], item]);
      if (app.schemeName === "cluster") {
        data.header["cluster anchors"].forEach((item, at) => groups.push([data.header.clusters[at], item]));
      }
      for (const [text, row] of groups) {
        const place = this.at({ kind: "item", row });
        if (place) this.write(cut(text), place.x, place.y, { weight: 650, size: 13.5, align: "center" });
      }
    }
    const wanted = NAMES_FAR + Math.min(1, Math.log2(camera.scale) / 4) * (NAMES_NEAR - NAMES_FAR);
    const share = Math.min(1, (this.width * this.height) / 500000);
    let left = Math.ceil(wanted * Math.sqrt(share));
    const order = app.byPopularity;
    for (let at = 0, tried = 0; at < order.length && left > 0 && tried < TRIED; at++) {
      if (camera.scale < 3) tried += 12;
      const thing = { kind: "item", row: order[at] };
      const place = this.at(thing);
      if (!place) continue;
      tried++;
      const text = cut(data.nameOf(thing));
      if (!this.write(text, place.x + 7, place.y, { size: 11.5, colour: this.colours.text })) continue;
      this.dot(place, 1.8, this.colours.text);
      left--;
    }
  }

  drawSelection({ thing, near, around, liked }) {
    const { context, colours } = this;
    const centre = this.at(thing);
    if (centre) this.taken.push([centre.x - 12, centre.y - 12, centre.x + 12, centre.y + 12]);
    context.lineWidth = 1;
    for (const other of near) {
      const place = this.at(other);
      if (!place || !centre) continue;
      context.globalAlpha = 0.45;
      this.line(centre, place, colours.accent);
      context.globalAlpha = 1;
    }
    for (const other of liked) {
      const place = this.at(other);
      if (place) this.heart(place);
    }
    for (const other of around) {
      const place = this.at(other);
      if (place) this.diamond(place, 5, colours.text);
    }
    for (const other of near) {
      const place = this.at(other);
      if (place) this.ring(place, 5, colours.accent, 2);
    }
    if (centre) {
      if (thing.kind === "user") this.diamond(centre, 9, colours.text);
      else this.ring(centre, 9, colours.text, 2.5);
      const name = cut(this.plot.data.nameOf(thing));
      this.write(name, centre.x + 14, centre.y, { weight: 650, size: 13.5, always: true, beside: 14 });
    }
    for (const other of near) {
      const place = this.at(other);
      const text = `${cut(this.plot.data.nameOf(other))}  ${other.distance.toFixed(3)}`;
      if (place) this.write(text, place.x + 9, place.y, { size: 11.5, beside: 9 });
    }
  }

  drawHovered(thing) {
    const place = this.at(thing);
    if (!place) return;
    this.dot(place, 2, this.colours.text);
    if (thing.kind === "user") this.diamond(place, 7, this.colours.text);
    else this.ring(place, 7, this.colours.text, 2);
  }

  // Write a text unless it would cover another; return whether it is written.
  write(text, x, y, { size, weight = 400, colour = this.colours.text, align = "left", always = false, beside = 0 }) {
    const { context } = this;
    context.font = `${weight} ${size}px ${this.font}`;
    context.textBaseline = "middle";
    const width = context.measureText(text).width;
    const lefts = align === "center" ? [x - width / 2] : [x];
    if (beside) lefts.push(x - 2 * beside - width);
    const boxOf = (left) => [left - 3, y - size * 0.65, left + width + 3, y + size * 0.65];
    const isFree = (box) => box[0] > 2 && box[2] < this.width - 2 && box[1] > 2 && box[3] < this.height - 2
      && !this.taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3]);
    const left = lefts.find((candidate) => isFree(boxOf(candidate))) ?? (always ? lefts[0] : null);
    if (left === null) return false;
    this.taken.push(boxOf(left));
    context.lineJoin = "round";
    context.lineWidth = HALO;
    context.strokeStyle = this.colours.ground;
    context.strokeText(text, left, y);
    context.fillStyle = colour;
    context.fillText(text, left, y);
    return true;
  }

  line(from, to, colour) {
    const { context } = this;
    context.strokeStyle = colour;
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x, to.y);
    context.stroke();
  }

  dot({ x, y }, radius, colour) {
    const { context } = this;
    context.fillStyle = colour;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
  }

  ring({ x, y }, radius, colour, width) {
    const { context } = this;
    for (const [stroke, line] of [[this.colours.ground, width + 2.5], [colour, width]]) {
      context.strokeStyle = stroke;
      context.lineWidth = line;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  diamond({ x, y }, radius, colour) {
    const { context } = this;
    for (const [stroke, line] of [[this.colours.ground, 4.5], [colour, 2]]) {
      context.strokeStyle = stroke;
      context.lineWidth = line;
      context.beginPath();
      context.moveTo(x, y - radius);
      context.lineTo(x + radius, y);
      context.lineTo(x, y + radius);
      context.lineTo(x - radius, y);
      context.closePath();
      context.stroke();
    }
  }

  heart({ x, y }) {
    const { context } = this;
    context.font = `13px ${this.font}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineWidth = HALO;
    context.strokeStyle = this.colours.ground;
    context.strokeText("♥", x, y);
    context.fillStyle = this.plot.app.theme === "dark" ? "#ff8f9c" : "#c2243a";
    context.fillText("♥", x, y);
    context.textAlign = "left";
  }
}

function cut(text) {
  return text.length > CUT ? `${text.slice(0, CUT - 1)}…` : text;
}
