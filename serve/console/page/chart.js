// SPDX-License-Identifier: Apache-2.0
// A bar for the probability of each class.

function percent(value) {
  if (value >= 0.9995) return '100';
  return (100 * value).toFixed(value >= 0.0995 ? 0 : 1);
}

export class Chart {
  constructor(element) {
    this.element = element;
    this.bars = [];
  }

  // Empty bars for `classes` classes.
  reset(classes) {
    this.element.replaceChildren();
    this.bars = Array.from({length: classes}, (_, index) => {
      const bar = document.createElement('div');
      bar.className = 'bar';
      for (const part of ['value', 'track', 'name']) {
        const child = document.createElement('div');
        child.className = part;
        bar.append(child);
      }
      const [value, track, name] = bar.children, fill = document.createElement('div');
      fill.className = 'fill';
      track.append(fill);
      name.textContent = index;
      bar.setAttribute('role', 'meter');
      bar.setAttribute('aria-label', `Class ${index}`);
      bar.setAttribute('aria-valuemin', 0);
      bar.setAttribute('aria-valuemax', 1);
      bar.setAttribute('aria-valuenow', 0);
      this.element.append(bar);
      return {bar, value, fill};
    });
  }

  // Probabilities, or null for none.
  show(probabilities) {
    if (probabilities && probabilities.length != this.bars.length) this.reset(probabilities.length);
    const best = probabilities ? probabilities.indexOf(Math.max(...probabilities)) : -1;
    this.bars.forEach(({bar, value, fill}, index) => {
      const probability = probabilities?.[index] ?? 0;
      value.textContent = probabilities ? percent(probability) : '';
      fill.style.height = `${100 * probability}%`;
      bar.classList.toggle('best', index == best);
      bar.setAttribute('aria-valuenow', probability);
      bar.setAttribute('aria-valuetext', `${percent(probability)} percent`);
    });
  }
}
