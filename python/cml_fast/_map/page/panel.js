// The panel: what is known of the item or user that is selected, and what is near to it.

// Make an element. Texts are set as texts: nothing in a name is taken for HTML.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

class Panel {
  constructor(root, data, app) {
    Object.assign(this, { root, data, app });
  }

  show(selection) {
    this.root.classList.toggle("idle", !selection);
    this.root.replaceChildren(...(selection ? this.selected(selection) : this.idle()));
    this.root.scrollTop = 0;
  }

  idle() {
    const key = (text) => element("kbd", {}, text);
    const { header } = this.data;
    const methods = Object.entries(header.methods).map(([name, { title, settings, why }]) => {
      const details = Object.entries(settings).map(([what, value]) => `${what} ${value}`).join(", ");
      const of = name === "raw" ? "Raw features" : "Learned space";
      return [element("dt", {}, of), element("dd", {}, `${title}${details && `: ${details}`}${why && ` (${why})`}`)];
    });
    const hints = [
      element("p", { class: "hint" }, "Click an item to see the items nearest to it",
        this.data.nUsers ? " and the users around it." : "."),
      element("p", { class: "hint" }, "Items near to each other here are near in the learned space. The map keeps who "
        + "is near to whom, not how far apart all is: the distances to trust are those that are written."),
    ];
    if (this.data.nUsers) {
      hints.push(element("p", { class: "hint" }, "Users are drawn amid the items nearest to them."));
    }
    return [
      ...hints,
      element("p", { class: "hint" }, key("/"), " search  ", key("+"), " ", key("−"), " zoom  ", key("0"), " all  ",
        key("←"), " ", key("→"), " move  ", key("Esc"), " clear"),
      element("h3", {}, "How it is drawn"),
      element("dl", {}, ...methods.flat()),
    ];
  }

  selected({ thing, near, around, liked }) {
    const { data } = this;
    const isUser = thing.kind === "user";
    const close = element("button", { class: "close", type: "button", "aria-label": "Close", onclick: () => this.app.select(null) }, "×");
    const parts = [
      element("div", { class: "top" }, element("h2", {}, data.nameOf(thing)), close),
      element("p", { class: "facts" }, facts(data, thing)),
    ];
    if (!isUser) {
      const picture = this.picture(thing.row, "picture");
      if (picture) parts.push(picture);
      if (data.tagsOf(thing.row).length) parts.push(this.tags(thing.row));
    }
    const likedRows = new Set(liked.map(({ row }) => row));
    parts.push(...this.list(isUser ? "Nearest items" : "Nearest items", "distance", near, "", likedRows));
    if (around.length) parts.push(...this.list("Users around it", "distance", around, "user", likedRows));
    if (liked.length) {
      const more = data.arrays["user likes"][thing.row] - liked.length;
      const mark = element("span", { class: "mark heart" }, "♥");
      parts.push(element("h3", {}, mark, "Likes in training", element("small", {}, counted(liked.length + more, "like"))));
      parts.push(element("ol", {}, ...liked.slice(0, 20).map((other) => element("li", {}, this.row(other)))));
    }
    return parts;
  }

  picture(row, name) {
    const address = this.data.header.pictures[row];
    if (!address) return null;
    const image = element("img", { class: name, src: address, alt: "", loading: "lazy", referrerpolicy: "no-referrer" });
    image.addEventListener("error", () => image.remove());
    return image;
  }

  tags(row) {
    const buttons = Array.from(this.data.tagsOf(row), (tag) => element(
      "button", { type: "button", title: "Show all with this tag", onclick: () => this.app.focusTag(tag) }, this.data.tags[tag],
    ));
    return element("div", { class: "tags" }, ...buttons);
  }

  list(title, unit, things, mark, likedRows) {
    if (!things.length) return [];
    const farthest = Math.max(...things.map(({ distance }) => distance), 1e-9);
    const rows = things.map((other) => {
      const bar = element("i");
      bar.style.width = `calc(${((other.distance / farthest) * 100).toFixed(1)}% - 16px)`;
      return element("li", {}, this.row(other, bar, mark !== "user" && likedRows.has(other.row)));
    });
    const shape = element("span", { class: `mark ${mark}` });
    if (!mark) shape.style.borderColor = "var(--accent)";
    return [element("h3", {}, shape, title, element("small", {}, unit)), element("ol", {}, ...rows)];
  }

  row(other, bar = null, isLiked = false) {
    const button = element("button", { type: "button", onclick: () => this.app.select(other) });
    if (other.kind === "item") {
      const picture = this.picture(other.row, "");
      if (picture) button.append(picture);
    }
    button.append(element("span", { class: "name" }, this.data.nameOf(other)));
    if (isLiked) button.append(element("span", { class: "liked" }, "♥"));
    if (bar) button.append(element("span", { class: "distance" }, other.distance.toFixed(3)), bar);
    button.addEventListener("pointerenter", () => this.app.hover(other, null));
    button.addEventListener("pointerleave", () => this.app.hover(null, null));
    return button;
  }
}

function facts(data, { kind, row }) {
  if (kind === "user") {
    const likes = data.arrays["user likes"];
    return ["User", likes && counted(likes[row], "like")].filter(Boolean).join(" · ");
  }
  const parts = [data.idOf(row), data.likes && counted(data.likes[row], "like"), data.dateOf(row)];
  return parts.filter(Boolean).join(" · ");
}
