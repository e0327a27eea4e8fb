// The legend: what the colours mean. A click on a group shows it alone.

class Legend {
  constructor(root, data, app) {
    Object.assign(this, { root, data, app });
  }

  show(scheme, focus) {
    const { theme } = this.app;
    const rows = scheme.groups ? this.groups(scheme, focus) : [this.ramp(scheme)];
    if (focus && focus.group === null) rows.unshift(this.button(focus.name, palette(scheme, theme)[FIRST_AT + focus.colour], focus.count, true, null));
    if (this.data.nUsers && this.app.showUsers) rows.push(this.plain("users", USER[theme]));
    this.root.replaceChildren(...rows);
  }

  groups(scheme, focus) {
    const colours = palette(scheme, this.app.theme).slice(FIRST_AT);
    const rows = scheme.groups.map(({ name, count }, at) => (
      this.button(name, colours[at], count, focus?.group === at, at)
    ));
    if (scheme.rest) rows.push(this.plain(scheme.rest, OTHER[this.app.theme]));
    return rows;
  }

  button(name, colour, count, isPressed, group) {
    return element(
      "button", { type: "button", "aria-pressed": String(isPressed), onclick: () => this.app.focusGroup(isPressed ? null : group) },
      this.swatch(colour), element("span", { class: "name" }, name),
      element("span", { class: "count" }, count.toLocaleString("en")),
    );
  }

  plain(name, colour) {
    return element("div", { class: "plain" }, this.swatch(colour), name);
  }

  swatch(colour) {
    const made = element("span", { class: "swatch" });
    made.style.background = colour;
    return made;
  }

  ramp({ title, low, high }) {
    const bar = element("i");
    bar.style.background = `linear-gradient(to right, ${ramp(this.app.theme).join(",")})`;
    return element("div", { class: "ramp" }, element("p", {}, title), bar,
      element("div", {}, element("span", {}, low), element("span", {}, high)));
  }
}
