// The operations of convolutional networks, as PyTorch computes them. A tensor is {shape: [number], data: Float64Array},
// in row-major order. The tests compare each function with PyTorch.

/** Return a tensor. */
export function tensor(shape, data) {
  return { shape, data: Float64Array.from(data) };
}

/** Return the size of one side of the output of a convolution or pooling; 0 if the window does not fit. */
export function outputSize(size, kernel, { stride = 1, padding = 0, dilation = 1 } = {}) {
  return Math.max(0, Math.floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1);
}

/**
 * Return the convolution of an input [C, H, W] with a weight [O, C / groups, kernel height, kernel width] and a bias [O]
 * or null: [O, H', W'].
 */
export function conv2d(input, weight, bias = null, { stride = 1, padding = 0, dilation = 1, groups = 1 } = {}) {
  const [, height, width] = input.shape;
  const [outputs, channels, kernelHeight, kernelWidth] = weight.shape;
  const rows = outputSize(height, kernelHeight, { stride, padding, dilation });
  const columns = outputSize(width, kernelWidth, { stride, padding, dilation });
  const result = new Float64Array(outputs * rows * columns);
  for (let o = 0; o < outputs; o += 1) {
    const first = Math.floor(o / (outputs / groups)) * channels;
    for (let y = 0; y < rows; y += 1) {
      for (let x = 0; x < columns; x += 1) {
        let sum = bias?.[o] ?? 0;
        for (let c = 0; c < channels; c += 1) {
          for (let i = 0; i < kernelHeight; i += 1) {
            const row = y * stride - padding + i * dilation;
            if (row < 0 || row >= height) continue;
            for (let j = 0; j < kernelWidth; j += 1) {
              const column = x * stride - padding + j * dilation;
              if (column < 0 || column >= width) continue;
              const value = input.data[((first + c) * height + row) * width + column];
              sum += value * weight.data[((o * channels + c) * kernelHeight + i) * kernelWidth + j];
            }
          }
        }
        result[(o * rows + y) * columns + x] = sum;
      }
    }
  }
  return { shape: [outputs, rows, columns], data: result };
}

/** Return the largest value of each window [C, H', W'], and `winners`: the place y · W + x of each in the input. */
export function maxPool(input, { kernel, stride = kernel, padding = 0 }) {
  const winners = [];
  const output = pooled(input, { kernel, stride, padding }, (channel, places) => {
    let winner = places[0];
    for (const place of places) if (input.data[channel + place] > input.data[channel + winner]) winner = place;
    winners.push(winner);
    return input.data[channel + winner];
  });
  return { ...output, winners };
}

/** Return the mean of each window [C, H', W']. Zeros of the padding count, as in PyTorch. */
export function avgPool(input, { kernel, stride = kernel, padding = 0 }) {
  return pooled(input, { kernel, stride, padding }, (channel, places) => {
    let sum = 0;
    for (const place of places) sum += input.data[channel + place];
    return sum / (kernel * kernel);
  });
}

function pooled(input, { kernel, stride, padding }, reduce) {
  const [channels, height, width] = input.shape;
  const rows = outputSize(height, kernel, { stride, padding });
  const columns = outputSize(width, kernel, { stride, padding });
  const result = new Float64Array(channels * rows * columns);
  for (let index = 0; index < result.length; index += 1) {
    const [c, y, x] = placeOf([channels, rows, columns], index);
    const places = [];
    for (let row = Math.max(0, y * stride - padding); row < Math.min(height, y * stride - padding + kernel); row += 1) {
      const end = Math.min(width, x * stride - padding + kernel);
      for (let column = Math.max(0, x * stride - padding); column < end; column += 1) places.push(row * width + column);
    }
    result[index] = reduce(c * height * width, places);
  }
  return { shape: [channels, rows, columns], data: result };
}

/** Return a tensor of any shape as one row. */
export function flatten(input) {
  return { shape: [input.data.length], data: input.data };
}

/** Return the index in the flattened row of a place (c, y, x) of [C, H, W]. */
export function flatIndex([, height, width], c, y, x) {
  return c * height * width + y * width + x;
}

/** Return the place [c, y, x] in [C, H, W] of an index in the flattened row. */
export function placeOf([, height, width], index) {
  return [Math.floor(index / (height * width)), Math.floor(index / width) % height, index % width];
}

/** Return y = x @ W.T + b of an input [K], a weight [O, K] and a bias [O] or null: [O]. */
export function linear(input, weight, bias = null) {
  const [outputs, inputs] = weight.shape;
  const result = new Float64Array(outputs);
  for (let o = 0; o < outputs; o += 1) {
    result[o] = bias?.[o] ?? 0;
    for (let k = 0; k < inputs; k += 1) result[o] += input.data[k] * weight.data[o * inputs + k];
  }
  return { shape: [outputs], data: result };
}

/** Return max(0, x) of each number. */
export function relu(values) {
  return values.map((x) => Math.max(0, x));
}

/** Return 1 / (1 + e^-x) of each number. */
export function sigmoid(values) {
  return values.map((x) => 1 / (1 + Math.exp(-x)));
}

/** Return the hyperbolic tangent of each number. */
export function tanh(values) {
  return values.map(Math.tanh);
}

/** Return the slope of an activation ("relu", "sigmoid", "tanh") at each number; that of ReLU at 0 is 0. */
export function slope(kind, values) {
  if (kind === "relu") return values.map((x) => (x > 0 ? 1 : 0));
  if (kind === "sigmoid") return sigmoid(values).map((y) => y * (1 - y));
  return tanh(values).map((y) => 1 - y * y);
}

/** Return the probabilities of logits. A higher temperature makes them more equal. */
export function softmax(logits, temperature = 1) {
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp((logit - largest) / temperature));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** Return random numbers in [0, 1) that depend only on the seed (Mulberry32). */
export function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Return which of `count` numbers dropout keeps: each with probability 1 - p. */
export function keptBy(count, p, seed) {
  const random = randomNumbers(seed);
  return Array.from({ length: count }, () => random() >= p);
}

/** Return dropout in training: kept numbers times 1 / (1 - p), and zeros. At inference it changes nothing. */
export function dropout(values, p, kept) {
  return values.map((value, index) => (kept[index] ? value / (1 - p) : 0));
}

/**
 * Return batch norm of an input [N, C, …], with the statistics of the batch (`training`) or the running ones:
 * {output, mean, variance, runningMean, runningVariance}, the last two as they are after this batch.
 */
export function batchNorm(input, { gamma, beta, runningMean, runningVariance, momentum = 0.1, eps = 1e-5, training }) {
  const [items, channels] = input.shape;
  const size = input.data.length / (items * channels);
  const count = items * size;
  const output = new Float64Array(input.data.length);
  const mean = Array.from(runningMean);
  const variance = Array.from(runningVariance);
  const running = { mean: Array.from(runningMean), variance: Array.from(runningVariance) };
  for (let c = 0; c < channels; c += 1) {
    const places = [];
    for (let n = 0; n < items; n += 1) for (let k = 0; k < size; k += 1) places.push((n * channels + c) * size + k);
    if (training) {
      mean[c] = places.reduce((sum, place) => sum + input.data[place], 0) / count;
      variance[c] = places.reduce((sum, place) => sum + (input.data[place] - mean[c]) ** 2, 0) / count;
      running.mean[c] += momentum * (mean[c] - running.mean[c]);
      running.variance[c] += momentum * ((variance[c] * count) / (count - 1) - running.variance[c]);
    }
    const { scale, shift } = scaleAndShift(gamma[c], beta[c], mean[c], variance[c], eps);
    for (const place of places) output[place] = scale * input.data[place] + shift;
  }
  const after = { runningMean: running.mean, runningVariance: running.variance };
  return { output: { shape: input.shape, data: output }, mean, variance, ...after };
}

/** Return batch norm as y = scale · x + shift. */
export function scaleAndShift(gamma, beta, mean, variance, eps = 1e-5) {
  const scale = gamma / Math.sqrt(variance + eps);
  return { scale, shift: beta - scale * mean };
}

/**
 * Return, after each layer {kernel, stride, dilation}, the receptive field in pixels of the input, and the jump: the
 * distance in the input between neighbouring outputs.
 */
export function receptiveFields(layers) {
  let field = 1;
  let jump = 1;
  return layers.map(({ kernel, stride = 1, dilation = 1 }) => {
    field += (kernel - 1) * dilation * jump;
    jump *= stride;
    return { field, jump };
  });
}

/** Return the number of weights and biases of a convolution. */
export function convParameters(inputs, outputs, kernel, { groups = 1, bias = true } = {}) {
  return outputs * (inputs / groups) * kernel * kernel + (bias ? outputs : 0);
}

/** Return the number of weights and biases of a linear (dense) layer. */
export function linearParameters(inputs, outputs) {
  return inputs * outputs + outputs;
}
