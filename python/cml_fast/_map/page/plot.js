// One map: its points, drawn by regl-scatterplot, and what the pointer is on.

// So many points are drawn in time without a GPU. Where a part of the map has no more than these, it
// is moved by drawing them, not by moving pictures (see surface.js).
const FEW = 8000;
const PARTS = [3, 1.5]; // times as wide and as high as what is seen
const SIZE_STEPS = 6;

class Plot {
  // things: how many users come first, then the rows of the items; app: see main.js.
  constructor(pane, data, { places, users, rows }, app) {
    this.pane = pane;
    this.data = data;
    this.places = places;
    this.nUsers = users;
    this.rows = rows;
    this.app = app;
    this.indexOfItem = null;
    this.few = FEW;
    this.part = null; // of the map, which alone is drawn; null for all of it
    this.isLoading = false;
    this.frame = 0;
    this.canvas = pane.querySelector(".points");
    this.camera = new Camera(pane, (done) => this.moved(done));
    this.surface = new Surface(this.canvas, this);
    this.scatter = createScatterplot({
      canvas: this.canvas, renderer: this.surface.renderer(), cameraIsFixed: true, showReticle: false, colorBy: "valueA", opacityBy: "valueA",
      sizeBy: "valueB", pointScaleMode: "constant", pointSizeSelected: 0, pointOutlineWidth: 0, deselectOnDblClick: false,
      deselectOnEscape: false, lassoOnLongPress: false, spatialIndexUseWorker: false,
    });
    this.overlay = new Overlay(pane.querySelector(".marks"), this);
    this.scatter.subscribe("pointOver", (index) => this.over(index));
    this.scatter.subscribe("pointOut", () => this.over(-1));
    this.scatter.subscribe("select", ({ points }) => this.clicked(points[0]));
    this.scatter.subscribe("draw", () => this.drawn());
    pane.addEventListener("pointerleave", () => this.over(-1));
    new ResizeObserver(() => this.resize()).observe(pane);
  }

  get n() {
    return this.places.x.length;
  }

  thingAt(index) {
    if (index < this.nUsers) return { kind: "user", row: index };
    const at = index - this.nUsers;
    return { kind: "item", row: this.rows ? this.rows[at] : at };
  }

  // The number of the point of a thing; -1 where it is not on this map.
  indexOf({ kind, row }) {
    if (kind === "user") return row < this.nUsers ? row : -1;
    if (!this.rows) return this.nUsers + row;
    if (!this.indexOfItem) {
      this.indexOfItem = new Int32Array(this.data.nItems).fill(-1);
      this.rows.forEach((item, at) => (this.indexOfItem[item] = this.nUsers + at));
    }
    return this.indexOfItem[row];
  }

  placeOf(thing) {
    const index = this.indexOf(thing);
    return index < 0 ? null : { x: this.places.x[index], y: this.places.y[index] };
  }

  // The size of a point by the likes of its item.
  sizeSteps() {
    const most = Math.sqrt(this.data.likes ? this.data.likes.reduce((a, b) => Math.max(a, b), 1) : 1);
    return Float32Array.from({ length: this.n }, (_, index) => {
      const { kind, row } = this.thingAt(index);
      if (kind === "user" || !this.data.likes) return 0;
      return Math.round((Math.sqrt(this.data.likes[row]) / most) * (SIZE_STEPS - 1));
    });
  }

  // The library ignores a drawing that is asked for during another one, so the last one waits.
  async colour(scheme, focus) {
    this.wanted = { scheme, focus };
    if (this.isDrawing) return;
    this.isDrawing = true;
    try {
      while (this.wanted) {
        const { scheme: next, focus: alone } = this.wanted;
        this.wanted = null;
        await this.drawAll(next, alone);
      }
    } finally {
      this.isDrawing = false;
    }
  }

  async drawAll(scheme, focus) {
    this.scheme = scheme;
    this.steps ??= this.sizeSteps();
    const colours = new Float32Array(this.n);
    for (let index = 0; index < this.n; index++) {
      const { kind, row } = this.thingAt(index);
      if (kind === "user") colours[index] = focus === null ? USER_AT : MUTED_AT;
      else if (focus === null) colours[index] = scheme.of[row] < 0 ? OTHER_AT : FIRST_AT + scheme.of[row];
      else colours[index] = focus.has(row) ? FIRST_AT + focus.colour : MUTED_AT;
    }
    this.isLoading = true;
    await this.scatter.draw(
      { x: this.places.x, y: this.places.y, z: colours, w: this.steps },
      { zDataType: "categorical", wDataType: "categorical" },
    );
    this.isLoading = false;
    this.part = null; // the library draws all of new points
    const drawn = new Promise((resolve) => this.scatter.subscribe("draw", resolve, 1));
    this.repaint();
    await drawn;
  }

  // Set what follows from the theme, the number of points, and the selection.
  repaint() {
    const pointColor = palette(this.scheme, this.app.theme);
    const ground = getComputedStyle(document.documentElement).getPropertyValue("--ground").trim();
    this.ground = shares(ground);
    this.scatter.set({ pointColor, pointColorHover: pointColor, backgroundColor: ground });
    this.scatter.set(this.looks(this.camera.scale));
    if (this.part) this.drawPart(null);
    this.surface.forget();
    this.later();
  }

  // What the points look like from so near.
  looks(scale) {
    const { theme, selection, showUsers } = this.app;
    const base = Math.min(0.85, Math.max(0.3, 2.6 * this.n ** -0.15));
    const near = Math.min(0.92, base * (1 + 0.25 * Math.log(Math.max(1, scale))));
    const full = near * (selection ? 0.45 : 1);
    const opacity = palette(this.scheme, theme).map((_, at) => {
      if (at === USER_AT) return showUsers ? full * 0.6 : 0;
      return at === MUTED_AT ? full * 0.5 : full;
    });
    return { opacity, pointSize: this.pointSizes(scale) };
  }

  // Smaller where there are more points, and a little larger from near.
  pointSizes(scale) {
    const side = Math.min(this.camera.width, this.camera.height);
    const small = Math.sqrt(Math.min(1, side / 700));
    const near = 1 + 0.3 * Math.log(Math.max(1, scale));
    const size = Math.min(8, Math.max(1.5, 36 * this.n ** -0.238)) * small * near;
    return Array.from({ length: SIZE_STEPS }, (_, at) => size * (1 + (1.6 * at) / (SIZE_STEPS - 1)));
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.pane;
    if (!width || !height) return;
    this.camera.resize(width, height);
    this.scatter.set({ width, height });
    this.surface.resize();
    this.overlay.resize(width, height);
    if (this.scheme) this.repaint();
    this.look();
  }

  look() {
    this.scatter.view(this.camera.matrix());
    this.later();
  }

  moved(done) {
    this.pane.classList.toggle("moving", !done);
    this.surface.isMoving = !done;
    if (done) {
      this.surface.isStale = true;
      if (this.scheme) this.scatter.set(this.looks(this.camera.scale));
    }
    this.choosePart(done);
    this.over(-1);
    this.look();
  }

  drawn() {
    if (!this.surface.isMoving && !this.surface.isStale) this.choosePart(false);
  }

  // Whether what is drawn alone is all that there is to see.
  get isNear() {
    return this.part !== null && this.camera.sees(this.part);
  }

  // Draw the points around what is seen alone, where all are many and these are few.
  choosePart(done) {
    if (!this.surface.isSlow || this.isNear) return;
    this.near ??= new Near(this.places);
    for (const times of PARTS) {
      const part = this.camera.part(times);
      const some = this.near.within(part, this.few);
      if (some) {
        this.drawPart(part, some);
        return;
      }
    }
    if (this.part && done) this.drawPart(null); // while the map moves, there are the pictures
  }

  drawPart(part, some) {
    this.part = part;
    this.surface.isStale = true;
    if (part) this.scatter.filter(some, { preventEvent: true });
    else this.scatter.unfilter({ preventEvent: true });
  }

  // Draw as if the whole map were looked at.
  drawWhole(draw) {
    this.scatter.set(this.looks(WHOLE.scale));
    this.scatter.view(this.camera.matrix(WHOLE));
    draw();
    this.scatter.set(this.looks(this.camera.scale));
    this.scatter.view(this.camera.matrix());
  }

  isHidden(index) {
    return index < this.nUsers && !this.app.showUsers;
  }

  over(index) {
    if (this.surface.isMoving || index < 0 || this.isHidden(index)) {
      this.app.hover(null, this);
    } else {
      this.app.hover(this.thingAt(index), this);
    }
  }

  clicked(index) {
    this.scatter.deselect({ preventEvent: true });
    if (index !== undefined && !this.isHidden(index)) {
      this.app.select(this.thingAt(index));
    }
  }

  // Draw marks and names in the next frame, once for all that has changed until then.
  later() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (this.scheme) this.overlay.draw();
    });
  }
}
