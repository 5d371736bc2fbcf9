// SPDX-License-Identifier: Apache-2.0
// The drawing area: strokes by mouse, finger, pen or keyboard, in units of SIDE whatever its size on the screen.
import {drawStrokes} from '/console/ink.js';

export const SIDE = 280;
const PEN = 20, KEY_STEP = 8;

export class Pad {
  // `changed` is called after each change of the strokes.
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.strokes = [];
    this.pixels = null;    // a picture shown instead of strokes: {side, values}
    this.drawing = null;   // id of the pointer that draws
    this.cursor = null;    // the keyboard's pen: {x, y, down}
    canvas.addEventListener('pointerdown', event => this.pointerDown(event));
    canvas.addEventListener('pointermove', event => this.pointerMove(event));
    for (const end of ['pointerup', 'pointercancel', 'lostpointercapture']) {
      canvas.addEventListener(end, event => this.pointerUp(event));
    }
    canvas.addEventListener('keydown', event => this.keyDown(event));
    canvas.addEventListener('blur', () => this.setCursor(null));
    new ResizeObserver(() => this.paint()).observe(canvas);
  }

  get empty() { return this.strokes.length == 0 && !this.pixels; }

  clear() {
    this.strokes = [];
    this.pixels = null;
    this.drawing = null;
    if (this.cursor) this.cursor.down = false;
    this.update();
  }

  undo() {
    if (this.pixels) return this.clear();
    this.strokes.pop();
    this.drawing = null;
    if (this.cursor) this.cursor.down = false;
    this.update();
  }

  show(side, values) {
    this.strokes = [];
    this.pixels = {side, values};
    this.update();
  }

  update() {
    this.paint();
    this.changed();
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return {x: (event.clientX - box.left) * SIDE / box.width, y: (event.clientY - box.top) * SIDE / box.height};
  }

  begin(point) {
    this.pixels = null;
    this.strokes.push({width: PEN, points: [point]});
  }

  extend(point) { this.strokes[this.strokes.length - 1].points.push(point); }

  pointerDown(event) {
    if (this.drawing !== null || event.button != 0) return;
    event.preventDefault();
    this.canvas.focus({preventScroll: true, focusVisible: false});
    this.canvas.setPointerCapture(event.pointerId);
    this.setCursor(null);
    this.drawing = event.pointerId;
    this.begin(this.at(event));
    this.update();
  }

  pointerMove(event) {
    if (event.pointerId !== this.drawing) return;
    // All positions since the last frame: a quick stroke keeps its corners.
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length > 0 ? events : [event]) this.extend(this.at(each));
    this.update();
  }

  pointerUp(event) {
    if (event.pointerId === this.drawing) this.drawing = null;
  }

  setCursor(cursor) {
    if (!cursor && !this.cursor) return;
    this.cursor = cursor;
    this.paint();
  }

  keyDown(event) {
    const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() == 'z') this.undo();
    else if (event.ctrlKey || event.metaKey || event.altKey) return;
    else if (event.key == 'Escape' || event.key == 'Delete') this.clear();
    else if (event.key == ' ') this.togglePen();
    else if (event.key in moves) this.moveCursor(...moves[event.key]);
    else return;
    event.preventDefault();
  }

  togglePen() {
    const cursor = this.cursor ?? {x: SIDE / 2, y: SIDE / 2, down: false};
    cursor.down = !cursor.down;
    this.cursor = cursor;
    if (!cursor.down) return this.paint();
    this.begin({x: cursor.x, y: cursor.y});
    this.update();
  }

  moveCursor(dx, dy) {
    const cursor = this.cursor ?? {x: SIDE / 2, y: SIDE / 2, down: false};
    const clamp = value => Math.min(Math.max(value, PEN / 2), SIDE - PEN / 2);
    this.cursor = {x: clamp(cursor.x + dx * KEY_STEP), y: clamp(cursor.y + dy * KEY_STEP), down: cursor.down};
    if (!cursor.down) return this.paint();
    this.extend({x: this.cursor.x, y: this.cursor.y});
    this.update();
  }

  paint() {
    const size = Math.round(this.canvas.clientWidth * (window.devicePixelRatio || 1));
    if (size == 0) return;
    if (this.canvas.width != size) this.canvas.width = this.canvas.height = size;
    const context = this.canvas.getContext('2d');
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = '#fff';
    context.fillRect(0, 0, size, size);
    context.scale(size / SIDE, size / SIDE);
    if (this.pixels) this.paintPixels(context);
    context.strokeStyle = '#14181d';
    drawStrokes(context, this.strokes);
    if (this.cursor) this.paintCursor(context);
  }

  paintPixels(context) {
    const {side, values} = this.pixels, cell = SIDE / side;
    for (let i = 0; i < values.length; ++i) {
      if (values[i] == 0) continue;
      context.fillStyle = `rgba(20, 24, 29, ${values[i] / 255})`;
      context.fillRect((i % side) * cell, Math.floor(i / side) * cell, cell, cell);
    }
  }

  paintCursor(context) {
    context.lineWidth = 2;
    context.strokeStyle = this.cursor.down ? '#d03030' : '#1b62c4';
    context.beginPath();
    context.arc(this.cursor.x, this.cursor.y, PEN / 2, 0, 2 * Math.PI);
    context.stroke();
  }
}
