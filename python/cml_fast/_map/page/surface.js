// What the points are drawn on: an opaque WebGL canvas, and pictures of them for while the map moves.
//
// The library would draw into a buffer of floats, from that onto a canvas with multisampling, and
// from that onto the canvas of the page. Without a GPU each of these takes as long as a whole frame
// may, so this is its renderer instead.

// Where drawing the points takes longer than this, the map is moved by moving pictures of them.
const SLOW = 8; // milliseconds, of the 16 that a frame may take

// What the points looked like from somewhere.
class Picture {
  constructor(regl) {
    const color = regl.texture({ width: 1, height: 1, mag: "linear", min: "linear" });
    this.buffer = regl.framebuffer({ color, depth: false, stencil: false });
    this.view = null;
  }
}

class Surface {
  // plot: see plot.js.
  constructor(canvas, plot) {
    this.canvas = canvas;
    this.plot = plot;
    this.slow = SLOW;
    this.isSlow = false;
    this.isMoving = false;
    this.isStale = true; // whether the last picture is not what there is to see at rest
    this.pixel = new Uint8Array(4);
    // The library would take this context with antialiasing, which its points do by themselves.
    this.gl = canvas.getContext("webgl", {
      alpha: false, antialias: false, depth: false, stencil: false, preserveDrawingBuffer: true,
    });
    this.regl = createRegl(canvas);
    this.last = new Picture(this.regl); // the view when it last rested
    this.whole = new Picture(this.regl); // the whole map
    this.paste = this.regl({
      vert: `
        precision highp float;
        attribute vec2 corner;
        uniform vec2 scale, offset;
        varying vec2 at;
        void main() {
          at = 0.5 * corner + 0.5;
          gl_Position = vec4(corner * scale + offset, 0.0, 1.0);
        }`,
      frag: `
        precision highp float;
        uniform sampler2D picture;
        varying vec2 at;
        void main() { gl_FragColor = vec4(texture2D(picture, at).rgb, 1.0); }`,
      attributes: { corner: [-1, -1, 1, -1, -1, 1, 1, 1] },
      uniforms: {
        picture: this.regl.prop("picture"), scale: this.regl.prop("scale"), offset: this.regl.prop("offset"),
      },
      primitive: "triangle strip",
      count: 4,
      depth: { enable: false },
    });
  }

  // What the library wants of a renderer.
  renderer() {
    const { regl, canvas } = this;
    return {
      regl, canvas, gamma: 1, isSupported: true,
      render: (draw) => this.render(draw),
      onFrame: (draw) => regl.frame(draw).cancel,
      refresh: () => regl.poll(),
    };
  }

  // To the size that the canvas has.
  resize() {
    this.regl.poll();
    for (const { buffer } of [this.last, this.whole]) buffer.resize(this.canvas.width, this.canvas.height);
    this.forget();
  }

  // The points have other colours or sizes: no picture is right any more.
  forget() {
    this.last.view = this.whole.view = null;
    this.isStale = true;
  }

  clear() {
    this.regl.clear({ color: [...this.plot.ground, 1] });
  }

  // ``draw`` draws the points, as ``plot.camera`` looks at them.
  render(draw) {
    if (this.plot.isLoading) return; // until there are other points, what was drawn stays
    if (this.isMoving && (!this.isSlow || this.plot.isNear)) {
      this.clear();
      draw();
      return;
    }
    if (this.isStale && !(this.isMoving && this.last.view)) this.take(draw);
    const { camera } = this.plot;
    if (!camera.sees(camera.part(1, this.last.view))) {
      this.clear();
      // All that there is may be in the last picture as well.
      if (this.last.view.scale > WHOLE.scale) this.show(this.whole);
    }
    this.show(this.last);
  }

  // Take the pictures, and see how long that takes for all points.
  take(draw) {
    const begin = performance.now();
    this.fill(this.last, this.plot.camera.view(), draw);
    this.isStale = false;
    if (this.plot.part) return;
    // The points are drawn by the time that a pixel can be read.
    this.last.buffer.use(() => this.regl.read({ x: 0, y: 0, width: 1, height: 1, data: this.pixel }));
    this.isSlow = this.plot.n > this.plot.few && performance.now() - begin > this.slow;
    if (this.isSlow && !this.whole.view) this.fill(this.whole, WHOLE, () => this.plot.drawWhole(draw));
  }

  fill(picture, view, draw) {
    picture.buffer.use(() => {
      this.clear();
      draw();
    });
    picture.view = view;
  }

  // Put a picture where the camera sees it now.
  show({ buffer, view }) {
    if (!view) return;
    const { camera } = this.plot;
    const scale = camera.scale / view.scale;
    const [right, up] = [2 * camera.unit * (view.x - camera.x), 2 * camera.unit * (view.y - camera.y)];
    const offset = [right / camera.width, up / camera.height];
    this.paste({ picture: buffer, scale: [scale, scale], offset });
  }
}
