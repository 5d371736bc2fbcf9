// SPDX-License-Identifier: Apache-2.0
// The page: what is drawn goes to the chosen model, one request at a time and always the newest drawing.
import {ApiError, curlCommand, inputSize, listModels, predict, setToken} from '/console/api.js';
import {Chart} from '/console/chart.js';
import {strokesToPixels} from '/console/ink.js';
import {Pad, SIDE} from '/console/pad.js';

const MODELS_EVERY_MS = 3000;
const element = id => document.getElementById(id);

const chart = new Chart(element('bars'));
const pad = new Pad(element('pad'), drawingChanged);
let models = [];
let side = 28, depth = 1;  // of the chosen model's pictures
let running = false, waiting = false;

function notice(text) {
  element('notice').hidden = !text;
  element('notice').textContent = text ?? '';
}

function report(error) {
  if (!(error instanceof ApiError)) console.error(error);
  if (error.status == 401) element('login').hidden = false;
  notice(error.status == 401 ? 'This server asks for its access token.' : error.message);
}

const chosen = () => ({model: element('model').value, version: element('version').value});

// What the model sees of the drawing: side x side bytes.
function pictureOfPad() {
  if (!pad.pixels) return strokesToPixels(pad.strokes, SIDE, side);
  const {side: from, values} = pad.pixels;
  return Uint8Array.from({length: side * side}, (_, i) => {
    const x = Math.floor((i % side) * from / side), y = Math.floor(Math.floor(i / side) * from / side);
    return values[y * from + x];
  });
}

function paintGrey(canvas, pictureSide, values) {
  canvas.width = canvas.height = pictureSide;
  const context = canvas.getContext('2d'), image = context.createImageData(pictureSide, pictureSide);
  values.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
  context.putImageData(image, 0, 0);
}

function requestBody(values) {
  const channels = depth == 1 ? values : Uint8Array.from({length: values.length * depth}, (_, i) => values[Math.floor(i / depth)]);
  if (element('compact').checked) return JSON.stringify({instances: [{b64: btoa(String.fromCharCode(...channels))}]});
  return JSON.stringify({instances: [Array.from(channels, value => Number((value / 255).toFixed(4)))]});
}

function showNothing() {
  element('digit').textContent = '–';
  element('confidence').textContent = 'Draw something.';
  element('timing').textContent = element('request').textContent = element('response').textContent = '';
  paintGrey(element('seen'), side, new Uint8Array(side * side));
  chart.show(null);
}

function showAnswer({answer, text, milliseconds}) {
  const {classes, probabilities} = answer.predictions[0];
  element('digit').textContent = classes;
  element('confidence').textContent = `${(100 * probabilities[classes]).toFixed(2)}\u00a0% sure`;
  element('timing').textContent = `answered in ${milliseconds.toFixed(1)} ms`;
  element('response').textContent = text;
  chart.show(probabilities);
}

async function predictDrawing() {
  const {model, version} = chosen();
  if (!model) return;
  const values = pictureOfPad(), body = requestBody(values);
  paintGrey(element('seen'), side, values);
  element('request').textContent = curlCommand(model, version, body);
  try {
    const result = await predict(model, version, body);
    if (pad.empty) return;  // cleared meanwhile
    showAnswer(result);
    notice(null);
  } catch (error) {
    element('response').textContent = error.message;
    report(error);
  }
}

// A drawing that changes while a request runs is sent when the answer has come: never two at once, never a stale last answer.
async function drawingChanged() {
  element('undo').disabled = element('clear').disabled = pad.empty;
  for (const button of element('sample-list').children) {
    button.setAttribute('aria-pressed', pad.pixels !== null && button.values === pad.pixels.values);
  }
  waiting = true;
  if (running) return;
  running = true;
  element('answer').setAttribute('aria-busy', true);  // read aloud when it is final
  try {
    while (waiting) {
      waiting = false;
      // A frame's worth of pointer events makes one request.
      await new Promise(done => setTimeout(done, 10));
      if (pad.empty) showNothing();
      else await predictDrawing();
    }
  } catch (error) {
    report(error);
  } finally {
    running = false;
    element('answer').setAttribute('aria-busy', false);
  }
}

function fillSelect(select, options, keep) {
  const same = select.options.length == options.length &&
      options.every(({value, text}, i) => select.options[i].value == value && select.options[i].text == text);
  if (!same) {
    select.replaceChildren(...options.map(({value, text}) => new Option(text, value)));
    if (options.some(({value}) => value == keep)) select.value = keep;
  }
  select.disabled = options.length == 0;
}

function fillVersions() {
  const versions = models.find(({name}) => name == element('model').value)?.versions ?? [];
  const usable = versions.filter(({state}) => state == 'AVAILABLE');
  const name = ({version, label}) => label && label != version ? `${version} (${label})` : version;
  const standard = usable.find(each => each.default);
  const options = usable.map(each => ({value: each.version, text: name(each)}));
  if (standard) options.unshift({value: '', text: `default: ${name(standard)}`});
  fillSelect(element('version'), options, element('version').value);
}

async function modelChosen() {
  const {model, version} = chosen();
  if (!model) return;
  const size = await inputSize(model, version);
  depth = Number.isInteger(Math.sqrt(size)) ? 1 : 3;
  side = Math.sqrt(size / depth);
  if (!Number.isInteger(side)) {
    side = 28;
    throw new ApiError(-1, `Model ${model} takes ${size} numbers, which is no square grey or RGB picture: it cannot be drawn for here.`);
  }
  drawingChanged();
}

async function refreshModels() {
  const before = JSON.stringify(models), {model, version} = chosen();
  models = await listModels();
  element('login').hidden = true;
  if (JSON.stringify(models) == before && models.length > 0) return;
  fillSelect(element('model'), models.map(({name}) => ({value: name, text: name})), model);
  fillVersions();
  notice(models.length > 0 ? null : 'The server has no model yet.');
  if (chosen().model != model || chosen().version != version || !pad.empty) await modelChosen();
}

async function keepRefreshing() {
  for (;;) {
    if (!document.hidden) await refreshModels().catch(report);
    await new Promise(done => setTimeout(done, MODELS_EVERY_MS));
  }
}

async function loadSamples() {
  const {side: sampleSide, images} = await (await fetch('/console/samples.json')).json();
  element('sample-list').replaceChildren(...images.map(({label, b64}) => {
    const values = Uint8Array.from(atob(b64), letter => letter.charCodeAt(0));
    const button = document.createElement('button'), canvas = document.createElement('canvas');
    button.type = 'button';
    button.values = values;
    button.title = `A ${label} of the test set`;
    button.setAttribute('aria-label', button.title);
    button.setAttribute('aria-pressed', false);
    button.addEventListener('click', () => pad.show(sampleSide, values));
    paintGrey(canvas, sampleSide, values);
    button.append(canvas);
    return button;
  }));
}

// navigator.clipboard exists on https and localhost only.
async function copy(button) {
  const source = element(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = 'Copied';
  } catch {
    getSelection().selectAllChildren(source);
    button.textContent = document.execCommand('copy') ? 'Copied' : 'Selected';
  }
  setTimeout(() => { button.textContent = 'Copy'; }, 1500);
}

element('undo').addEventListener('click', () => pad.undo());
element('clear').addEventListener('click', () => pad.clear());
element('compact').addEventListener('change', drawingChanged);
element('model').addEventListener('change', () => { fillVersions(); modelChosen().catch(report); });
element('version').addEventListener('change', () => modelChosen().catch(report));
element('choice').addEventListener('submit', event => event.preventDefault());
element('login').addEventListener('submit', event => {
  event.preventDefault();
  setToken(element('token').value.trim());
  refreshModels().then(drawingChanged).catch(report);
});
for (const button of document.querySelectorAll('.copy')) button.addEventListener('click', () => copy(button));

chart.reset(10);
showNothing();
loadSamples().catch(report);
keepRefreshing();
