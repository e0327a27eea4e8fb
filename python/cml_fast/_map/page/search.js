// The search box: names, ids, tags and users.

const FOUND = 9;

class Search {
  constructor(data, app) {
    Object.assign(this, { data, app, found: [], at: -1 });
    this.input = document.getElementById("search");
    this.results = document.getElementById("results");
    const kinds = ["items", data.tags.length && "tags", data.nUsers && "users"].filter(Boolean);
    this.input.placeholder = `Search ${kinds.join(", ")}`;
    this.input.addEventListener("input", () => this.search());
    this.input.addEventListener("focus", () => this.search());
    this.input.addEventListener("blur", () => this.close());
    this.input.addEventListener("keydown", (event) => this.key(event));
  }

  // All that can be found, in lower case; made at the first search.
  entries() {
    if (this.made) return this.made;
    const { data } = this;
    this.made = [];
    data.tags.forEach((name, row) => this.made.push({ kind: "tag", row, text: name.toLowerCase() }));
    for (const row of this.app.byPopularity) {
      const id = data.idOf(row);
      const text = data.names[row].toLowerCase();
      this.made.push({ kind: "item", row, text, id: id === null ? "" : id.toLowerCase() });
    }
    data.header.users.forEach((name, row) => this.made.push({ kind: "user", row, text: name.toLowerCase() }));
    return this.made;
  }

  search() {
    const asked = this.input.value.trim().toLowerCase();
    if (!asked) {
      this.close();
      return;
    }
    // The first of each rank are the most popular.
    const ranks = [[], [], []];
    for (const entry of this.entries()) {
      const at = entry.text.indexOf(asked);
      if (at < 0 && !entry.id?.includes(asked)) continue;
      const isWhole = entry.text === asked || entry.id === asked;
      const rank = isWhole ? 0 : at === 0 ? 1 : 2;
      if (ranks[rank].length < FOUND) ranks[rank].push(entry);
      if (ranks[0].length === FOUND) break;
    }
    this.found = ranks.flat().slice(0, FOUND);
    this.at = this.found.length ? 0 : -1;
    this.show();
  }

  show() {
    const kinds = { tag: "tag", user: "user" };
    const rows = this.found.map((entry, at) => {
      const name = entry.kind === "tag" ? this.data.tags[entry.row] : this.data.nameOf(entry);
      const note = kinds[entry.kind] ?? (this.data.likes ? counted(this.data.likes[entry.row], "like") : "");
      const attributes = { role: "option", id: `result-${at}`, "aria-selected": String(at === this.at) };
      const row = element("li", attributes, element("span", {}, name), element("span", { class: "kind" }, note));
      row.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        this.pick(at);
      });
      return row;
    });
    if (!rows.length) rows.push(element("li", { class: "none" }, "Nothing found"));
    this.results.replaceChildren(...rows);
    this.results.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.input.setAttribute("aria-activedescendant", this.at < 0 ? "" : `result-${this.at}`);
    this.results.children[Math.max(0, this.at)].scrollIntoView({ block: "nearest" });
  }

  close() {
    this.results.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  pick(at) {
    const entry = this.found[at];
    if (!entry) return;
    this.close();
    if (entry.kind === "tag") this.app.focusTag(entry.row);
    else this.app.select({ kind: entry.kind, row: entry.row });
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.found.length && !this.results.hidden) {
      this.at = (this.at + step + this.found.length) % this.found.length;
      this.show();
    } else if (event.key === "Enter") this.pick(this.at);
    else if (event.key === "Escape" && this.input.value) {
      this.input.value = "";
      this.close();
      event.stopPropagation();
    } else return;
    event.preventDefault();
  }
}
