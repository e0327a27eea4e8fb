// Where one looks: pan and zoom by mouse, touch and wheel, the same for all maps of the page.

const MOST = 400; // times as near as the whole map
const CLICK = 4; // pixels: what moved less is a click
const REST = 250; // milliseconds without a key or a turn of the wheel: the gesture is over
const WHOLE = { scale: 1, x: 0, y: 0 }; // a view: how near, and what is in the middle

class Camera {
  // changed(done): called when the view has moved; done: whether the gesture is over.
  constructor(element, changed) {
    this.element = element;
    this.changed = changed;
    Object.assign(this, WHOLE);
    this.width = 1;
    this.height = 1;
    this.pointers = new Map();
    this.resting = 0;
    this.dragged = false;
    const on = (name, handler) => element.addEventListener(name, handler, { passive: false });
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) on(name, (event) => this.up(event));
    on("wheel", (event) => this.wheel(event));
  }

  // Pixels of a unit: the whole map, from -1 to 1, fits at scale 1.
  get unit() {
    return this.unitAt(this.scale);
  }

  unitAt(scale) {
    return (Math.min(this.width, this.height) / 2) * scale;
  }

  resize(width, height) {
    [this.width, this.height] = [Math.max(width, 1), Math.max(height, 1)];
  }

  toScreen(x, y) {
    return [
      this.width / 2 + (x - this.x) * this.unit,
      this.height / 2 - (y - this.y) * this.unit,
    ];
  }

  view() {
    return { scale: this.scale, x: this.x, y: this.y };
  }

  // As the library wants it: a unit is half of the height of the canvas.
  matrix(view = this) {
    const scale = this.unitAt(view.scale) / (this.height / 2);
    const [x, y] = [-view.x * scale, -view.y * scale];
    return [scale, 0, 0, 0, 0, scale, 0, 0, 0, 0, 1, 0, x, y, 0, 1];
  }

  // The part of the map that is so many times as wide and as high as what is seen.
  part(times, { scale, x, y } = this) {
    const half = times / 2 / this.unitAt(scale);
    const [across, up] = [half * this.width, half * this.height];
    return { left: x - across, right: x + across, low: y - up, high: y + up };
  }

  // Whether only this part is seen.
  sees({ left, right, low, high }) {
    const seen = this.part(1);
    return left <= seen.left && seen.right <= right && low <= seen.low && seen.high <= high;
  }

  pan(dx, dy, done = true) {
    this.x = Math.max(-1, Math.min(1, this.x - dx / this.unit));
    this.y = Math.max(-1, Math.min(1, this.y + dy / this.unit));
    this.tell(done);
  }

  zoom(factor, at = [this.width / 2, this.height / 2], done = true) {
    const [dx, dy] = [at[0] - this.width / 2, this.height / 2 - at[1]];
    const [x, y] = [this.x + dx / this.unit, this.y + dy / this.unit];
    this.scale = Math.max(0.8, Math.min(MOST, this.scale * factor));
    this.x = x - dx / this.unit;
    this.y = y - dy / this.unit;
    this.tell(done);
  }

  all() {
    Object.assign(this, WHOLE);
    this.tell(true);
  }

  // Show these places, {x, y}, all of them, but not from nearer than ``nearest``.
  frame(shown, nearest) {
    const xs = shown.map((place) => place.x);
    const ys = shown.map((place) => place.y);
    const [left, right, low, high] = [
      Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys),
    ];
    const side = Math.min(this.width, this.height);
    const wide = ((right - left) / 2) * (side / this.width);
    const tall = ((high - low) / 2) * (side / this.height);
    this.scale = Math.max(1, Math.min(nearest, 0.7 / Math.max(wide, tall, 1e-6)));
    [this.x, this.y] = [(left + right) / 2, (low + high) / 2];
    this.tell(true);
  }

  tell(done) {
    clearTimeout(this.resting);
    this.changed(done);
  }

  // The gesture is over, unless it goes on within a moment.
  rest() {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.changed(true), REST);
  }

  at(event) {
    const box = this.element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    if (event.button) return;
    this.pointers.set(event.pointerId, this.at(event));
    if (this.pointers.size === 1) {
      this.dragged = false;
      this.begin = this.at(event);
    }
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.at(event);
    if (!this.dragged && Math.hypot(now[0] - this.begin[0], now[1] - this.begin[1]) < CLICK) return;
    if (!this.dragged) this.element.setPointerCapture(event.pointerId);
    this.dragged = true;
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    if (!other) {
      this.pan(now[0] - before[0], now[1] - before[1], false);
      return;
    }
    const apart = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]);
    this.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2, false);
    const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
    this.zoom(apart(now) / Math.max(apart(before), 1), middle, false);
  }

  up(event) {
    if (this.pointers.delete(event.pointerId) && !this.pointers.size && this.dragged) this.tell(true);
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    const step = Math.max(-120, Math.min(120, event.deltaY * lines));
    this.zoom(Math.exp(-step * 0.0022 * (event.ctrlKey ? 4 : 1)), this.at(event), false);
    this.rest();
  }
}
