"use strict";
// Unpacking of the page's numbers, and decimation of what is in view.

/** Inflate the base64 text of a script element; the result is an ArrayBuffer. */
async function inflate(id) {
  const text = atob(document.getElementById(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

/** Read one packed array: differences of 16 or 32 bit integers, low bytes first, times a quantum. */
function unpack(bytes, ref) {
  const { o, n, b, q } = ref;
  const out = new Float64Array(n);
  const missing = b === 2 ? -32768 : -2147483648;
  let sum = 0;
  for (let i = 0; i < n; i++) {
    if (b === 2) {
      sum = ((sum + (bytes[o + i] | (bytes[o + n + i] << 8))) << 16) >> 16;
    } else {
      sum = (sum + (bytes[o + i] | (bytes[o + n + i] << 8) |
        (bytes[o + 2 * n + i] << 16) | (bytes[o + 3 * n + i] << 24))) | 0;
    }
    out[i] = sum === missing ? NaN : sum * q;
  }
  return out;
}

/** Unpack a series: bucket times in s, first and second value of each bucket. */
function openSeries(bytes, packed) {
  if (!packed) return null;
  const first = unpack(bytes, packed.first);
  return {
    t: unpack(bytes, packed.t),
    first,
    second: packed.second ? unpack(bytes, packed.second) : first,
    rows: packed.rows,
  };
}

/** Index of the first bucket that starts after `time`. */
function bucketAfter(times, time) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time) low = middle + 1; else high = middle;
  }
  return low;
}

/**
 * Points to draw between two times (s): groups of buckets, each as its smallest and its largest
 * value in the order of their occurrence, so that no peak is lost. x is in ms after `startMs`.
 */
function pointsInView(series, from, to, maxGroups, startMs) {
  const { t, first, second } = series;
  const begin = Math.max(0, bucketAfter(t, from) - 2);
  const end = Math.min(t.length, bucketAfter(t, to) + 1);
  const size = Math.max(1, Math.ceil((end - begin) / maxGroups));
  const x = [], y = [];
  for (let i = begin; i < end; i += size) {
    const stop = Math.min(end, i + size);
    let low = Infinity, high = -Infinity, lowAt = -1, highAt = -1;
    for (let j = i; j < stop; j++) {
      const a = first[j], b = second[j];
      if (a < low) { low = a; lowAt = 2 * j; }
      if (a > high) { high = a; highAt = 2 * j; }
      if (b < low) { low = b; lowAt = 2 * j + 1; }
      if (b > high) { high = b; highAt = 2 * j + 1; }
    }
    const start = startMs + 1000 * t[i];
    if (lowAt < 0) { x.push(start); y.push(null); continue; }
    if (low === high) { x.push(start); y.push(low); continue; }
    const next = stop < t.length ? t[stop] : t[stop - 1];
    x.push(start, startMs + 500 * (t[i] + next));
    if (lowAt < highAt) y.push(low, high); else y.push(high, low);
  }
  return { x, y };
}
