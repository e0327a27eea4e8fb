// The page: what is selected, under the pointer, and how it is coloured; all maps show the same.

const STEP = 60; // pixels that an arrow key moves the map
const ZOOM = 1.5;
const NEAREST_LOOK = 24; // a selection is not looked at from nearer

class App {
  constructor(data) {
    this.data = data;
    this.selection = null;
    this.hovered = null;
    this.focus = null;
    this.showUsers = true;
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.setTheme(this.dark.matches ? "dark" : "light");
    this.schemes = schemes(data);
    this.schemeName = data.header.colour;
    this.byPopularity = Uint32Array.from({ length: data.nItems }, (_, row) => row);
    if (data.likes) this.byPopularity.sort((a, b) => data.likes[b] - data.likes[a] || a - b);
    this.panel = new Panel(document.getElementById("panel"), data, this);
    this.legend = new Legend(document.getElementById("legend"), data, this);
    this.search = new Search(data, this);
    this.plots = this.makePlots();
    this.listen();
  }

  get scheme() {
    return this.schemes[this.schemeName];
  }

  makePlots() {
    const { data } = this;
    const both = (axis) => {
      const joined = new Float32Array(data.nUsers + data.nItems);
      joined.set(data.users[axis]);
      joined.set(data.items[axis], data.nUsers);
      return joined;
    };
    const panes = { learned: document.getElementById("learned"), raw: document.getElementById("raw") };
    const places = { x: both("x"), y: both("y") };
    const plots = { learned: new Plot(panes.learned, data, { places, users: data.nUsers, rows: null }, this) };
    if (data.raw) {
      panes.raw.hidden = false;
      panes.raw.classList.add("away");
      document.getElementById("switch").hidden = false;
      panes.learned.querySelector(".caption").textContent = "Learned space";
      panes.raw.querySelector(".caption").textContent = "Raw features";
      plots.raw = new Plot(panes.raw, data, { places: data.raw, users: 0, rows: data.rawRows }, this);
    }
    return plots;
  }

  async start() {
    const { data } = this;
    const users = data.nUsers && `${data.nUsers.toLocaleString("en")} of ${counted(data.header["all users"], "user")}`;
    document.getElementById("summary").textContent = [
      counted(data.nItems, "item"), users, data.header.methods.learned.title,
    ].filter(Boolean).join(" · ");
    document.getElementById("users-choice").hidden = !data.nUsers;
    const choice = document.getElementById("colour");
    for (const [name, { title }] of Object.entries(this.schemes)) {
      choice.append(new Option(title.replace(" (likes)", ""), name, false, name === this.schemeName));
    }
    this.panel.show(null);
    this.each((plot) => plot.resize());
    await this.recolour();
  }

  each(what) {
    return Promise.all(Object.values(this.plots).map(what));
  }

  recolour() {
    this.legend.show(this.scheme, this.focus);
    return this.each((plot) => plot.colour(this.scheme, this.focus));
  }

  // Put a thing, {kind, row}, or null, under the pointer of all maps; ``plot`` has the pointer.
  hover(thing, plot) {
    const isSame = this.hovered?.kind === thing?.kind && this.hovered?.row === thing?.row;
    if (isSame && !thing) return;
    this.hovered = thing;
    this.each((each) => {
      each.pane.classList.toggle("over", Boolean(thing) && each === plot);
      this.tip(each, thing, each === plot);
      each.later();
    });
  }

  tip(plot, thing, isMine) {
    const tip = plot.pane.querySelector(".tip");
    const place = thing && isMine ? plot.placeOf(thing) : null;
    tip.hidden = !place;
    if (!place) return;
    const about = [element("strong", {}, this.data.nameOf(thing)), element("span", {}, facts(this.data, thing))];
    if (thing.kind === "item") {
      const tags = Array.from(this.data.tagsOf(thing.row).slice(0, 4), (tag) => this.data.tags[tag]);
      if (tags.length) about.push(element("br"), element("span", {}, tags.join(", ")));
    }
    tip.replaceChildren(...about);
    const [x, y] = plot.camera.toScreen(place.x, place.y);
    const left = x + 14 + tip.offsetWidth > plot.camera.width ? x - 14 - tip.offsetWidth : x + 14;
    const top = Math.min(y + 12, plot.camera.height - tip.offsetHeight - 8);
    tip.style.transform = `translate(${Math.round(Math.max(4, left))}px, ${Math.round(top)}px)`;
  }

  select(thing) {
    this.hovered = null;
    this.selection = thing && this.around({ kind: thing.kind, row: thing.row });
    document.body.classList.toggle("selected", Boolean(thing));
    this.panel.show(this.selection);
    this.each((plot) => {
      this.tip(plot, null, false);
      plot.resize(); // the panel may have taken some of the place
      if (this.selection) {
        const shown = [this.selection.thing, ...this.selection.near].map((one) => plot.placeOf(one)).filter(Boolean);
        if (shown.length) plot.camera.frame(shown, NEAREST_LOOK);
      }
      plot.repaint();
    });
  }

  around(thing) {
    const { data } = this;
    if (thing.kind === "item") {
      return { thing, near: data.listed("nearest", thing.row), around: data.listed("users around", thing.row), liked: [] };
    }
    const liked = Array.from(data.likedBy(thing.row) ?? [], (row) => ({ kind: "item", row }));
    return { thing, near: data.listed("nearest to users", thing.row), around: [], liked };
  }

  focusGroup(group) {
    const { scheme } = this;
    this.focus = group === null ? null : {
      group, colour: group, has: (item) => scheme.has(item, group),
    };
    this.recolour();
  }

  focusTag(tag) {
    if (this.schemeName !== "tag") {
      this.schemeName = "tag";
      document.getElementById("colour").value = "tag";
    }
    if (tag < this.scheme.groups.length) {
      this.focusGroup(tag);
      return;
    }
    const has = (item) => this.data.tagsOf(item).includes(tag);
    let count = 0;
    for (let item = 0; item < this.data.nItems; item++) count += has(item);
    this.focus = { group: null, colour: 0, has, name: this.data.tags[tag], count };
    this.recolour();
  }

  setTheme(theme) {
    this.theme = theme;
    document.documentElement.dataset.theme = theme;
    if (!this.plots) return;
    this.legend.show(this.scheme, this.focus);
    this.each((plot) => plot.repaint());
  }

  listen() {
    const on = (id, name, handler) => document.getElementById(id).addEventListener(name, handler);
    on("colour", "change", (event) => {
      this.schemeName = event.target.value;
      this.focus = null;
      this.recolour();
    });
    on("show-users", "change", (event) => {
      this.showUsers = event.target.checked;
      this.legend.show(this.scheme, this.focus);
      this.each((plot) => plot.repaint());
    });
    on("theme", "click", () => this.setTheme(this.theme === "dark" ? "light" : "dark"));
    this.dark.addEventListener("change", (event) => this.setTheme(event.matches ? "dark" : "light"));
    on("zoom", "click", ({ target }) => this.zoom(target.closest("button")?.dataset.zoom, this.seen()));
    on("switch", "click", ({ target }) => {
      const chosen = target.closest("button")?.dataset.pane;
      if (chosen) this.switchTo(chosen);
    });
    document.addEventListener("keydown", (event) => this.key(event));
  }

  // The maps that are on the screen.
  seen() {
    return Object.values(this.plots).filter(({ pane }) => pane.clientWidth);
  }

  zoom(how, plots) {
    for (const { camera } of plots) {
      if (how === "all") camera.all();
      else if (how) {
        camera.zoom(how === "in" ? ZOOM : 1 / ZOOM, undefined, false);
        camera.rest(); // it may be one of several
      }
    }
  }

  switchTo(chosen) {
    for (const [name, { pane }] of Object.entries(this.plots)) pane.classList.toggle("away", name !== chosen);
    for (const button of document.querySelectorAll("#switch button")) {
      button.setAttribute("aria-pressed", String(button.dataset.pane === chosen));
    }
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      if (this.selection) this.select(null);
      else if (this.focus) this.focusGroup(null);
      return;
    }
    if (event.target.matches("input, select")) return;
    const pane = event.target.closest(".pane");
    const plots = pane ? [this.plots[pane.id]] : this.seen();
    const moves = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
    const how = { "+": "in", "=": "in", "-": "out", 0: "all" }[event.key];
    if (event.key === "/") this.search.input.focus();
    else if (how) this.zoom(how, plots);
    else if (moves[event.key] && !event.target.closest("#panel")) {
      for (const { camera } of plots) {
        camera.pan(...moves[event.key], false);
        camera.rest();
      }
    } else return;
    event.preventDefault();
  }
}

function fail(error) {
  const failure = document.getElementById("failure");
  const isOld = typeof DecompressionStream === "undefined";
  failure.textContent = isOld ? "This browser is too old for the map: it has no DecompressionStream."
    : `The map cannot be shown: ${error.message}`;
  failure.hidden = false;
  throw error;
}

async function main() {
  const holder = document.getElementById("data");
  const data = new Data(await unpack(holder.textContent));
  holder.remove();
  const app = new App(data);
  await app.start();
  globalThis.app = app; // for the console of the browser, and for tests: the map is there
}

main().catch(fail);
