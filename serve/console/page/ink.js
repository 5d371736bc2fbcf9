// SPDX-License-Identifier: Apache-2.0
// Strokes of a pen to the picture that a network was trained on, as MNIST was made (http://yann.lecun.com/exdb/mnist): the
// longer side of the digit fills 20 of 28 pixels, with grey levels from anti-aliasing, and the centre of mass lies at the
// centre of the picture. Other sizes keep the proportion. `lockstep predict --image` does the same to a picture.
//
// A stroke is {width, points: [{x, y}, …]}, all in the same unit.

// Shares of the picture's side. MNIST's strokes are about 2 to 3.5 of 28 pixels thick: a digit drawn small or large keeps
// to that, since here the pen is known, where a bitmap could only be scaled with the thickness it has.
const BOX = 20 / 28, THINNEST = 2.0 / 28, THICKEST = 3.4 / 28;
// A drawing shorter than this share of the pad is a dot or a slip, not a digit to be blown up.
const LEAST_LENGTH = 0.12;
const SUPERSAMPLING = 8;

function bounds(strokes) {
  const box = {left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity};
  for (const {points} of strokes) {
    for (const {x, y} of points) {
      box.left = Math.min(box.left, x);
      box.right = Math.max(box.right, x);
      box.top = Math.min(box.top, y);
      box.bottom = Math.max(box.bottom, y);
    }
  }
  return box;
}

// Draws strokes as they are seen: round ends, smooth through the middle of neighbouring points.
export function drawStrokes(context, strokes, width = null) {
  context.lineCap = context.lineJoin = 'round';
  for (const stroke of strokes) {
    const points = stroke.points, last = points[points.length - 1];
    context.lineWidth = width ?? stroke.width;
    context.beginPath();
    context.moveTo(points[0].x, points[0].y);
    for (let i = 1; i + 1 < points.length; ++i) {
      const next = points[i + 1];
      context.quadraticCurveTo(points[i].x, points[i].y, (points[i].x + next.x) / 2, (points[i].y + next.y) / 2);
    }
    context.lineTo(last.x, last.y);  // of a single point: a dot
    context.stroke();
  }
}

// Scale from the unit of the strokes to pixels, and the pen's thickness in pixels.
function fit(strokes, box, side, padSide) {
  const fill = Math.round(side * BOX);
  const length = Math.max(box.right - box.left, box.bottom - box.top);
  const pen = Math.max(...strokes.map(stroke => stroke.width));
  const as_drawn = pen * fill / (length + pen);
  const thickness = Math.min(Math.max(as_drawn, THINNEST * side), THICKEST * side);
  const scale = (fill - thickness) / Math.max(length, LEAST_LENGTH * padSide);
  return {scale, thickness};
}

// Coverage of each pixel by the strokes, 0 to 255, whose box begins at pixel (`at`, `at`).
function rasterise(strokes, box, {scale, thickness}, side, at) {
  const canvas = document.createElement('canvas'), size = side * SUPERSAMPLING;
  canvas.width = canvas.height = size;
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.scale(SUPERSAMPLING, SUPERSAMPLING);
  context.translate(at + thickness / 2, at + thickness / 2);
  context.scale(scale, scale);
  context.translate(-box.left, -box.top);
  drawStrokes(context, strokes, thickness / scale);
  const fine = context.getImageData(0, 0, size, size).data, sums = new Float64Array(side * side);
  for (let y = 0, alpha = 3; y < size; ++y) {
    const row = Math.floor(y / SUPERSAMPLING) * side;
    for (let x = 0; x < size; ++x, alpha += 4) sums[row + Math.floor(x / SUPERSAMPLING)] += fine[alpha];
  }
  return Uint8Array.from(sums, sum => Math.round(sum / SUPERSAMPLING ** 2));
}

// Moves the picture by whole pixels so that its mean position is at side / 2, and no ink leaves it.
function centre(pixels, side) {
  let mass = 0, across = 0, down = 0, left = side, top = side, right = -1, bottom = -1;
  for (let y = 0; y < side; ++y) {
    for (let x = 0; x < side; ++x) {
      const value = pixels[y * side + x];
      if (value == 0) continue;
      mass += value;
      across += value * x;
      down += value * y;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    }
  }
  const clamp = (shift, first, last) => Math.min(Math.max(shift, -first), side - 1 - last);
  const shiftX = clamp(Math.round(side / 2 - across / mass), left, right);
  const shiftY = clamp(Math.round(side / 2 - down / mass), top, bottom);
  const result = new Uint8Array(side * side);
  for (let y = top; y <= bottom; ++y) {
    for (let x = left; x <= right; ++x) result[(y + shiftY) * side + x + shiftX] = pixels[y * side + x];
  }
  return result;
}

// The strokes, drawn on a pad of `padSide`, as `side` x `side` bytes, ink bright on black. Strokes must not be empty.
export function strokesToPixels(strokes, padSide, side) {
  const box = bounds(strokes);
  const pixels = rasterise(strokes, box, fit(strokes, box, side, padSide), side, Math.round(side * (1 - BOX) / 2));
  return centre(pixels, side);
}
