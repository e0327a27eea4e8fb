// Which points are in a part of the map: of few points, drawing them takes no time.

const CELLS = 128; // on each side

class Near {
  // places: {x, y}, from -1 to 1.
  constructor({ x, y }) {
    this.x = x;
    this.y = y;
    this.starts = new Uint32Array(CELLS * CELLS + 1);
    const cells = Uint16Array.from(x, (_, index) => cellOf(y[index]) * CELLS + cellOf(x[index]));
    for (const cell of cells) this.starts[cell + 1]++;
    for (let cell = 0; cell < CELLS * CELLS; cell++) this.starts[cell + 1] += this.starts[cell];
    const next = this.starts.slice();
    this.points = new Uint32Array(x.length);
    cells.forEach((cell, index) => (this.points[next[cell]++] = index));
  }

  // The numbers of the points in a part, {left, right, low, high}, in order; null where these are
  // more than ``most``. Some from just beside it may be among them.
  within({ left, right, low, high }, most) {
    const rows = [];
    let count = 0;
    for (let row = cellOf(low); row <= cellOf(high); row++) {
      const [from, to] = [this.starts[row * CELLS + cellOf(left)], this.starts[row * CELLS + cellOf(right) + 1]];
      count += to - from;
      if (count > most) return null;
      rows.push(...this.points.subarray(from, to));
    }
    return rows.sort((a, b) => a - b);
  }
}

function cellOf(place) {
  return Math.max(0, Math.min(CELLS - 1, Math.floor(((place + 1) / 2) * CELLS)));
}
