/** How different the parts of a calibration text are: statistics of one kind of text are those of that kind only. */

/** Bytes of a part: some hundred tokens, enough for shares of characters to settle. */
const partBytes = 4096;

/** With fewer parts there is too little text to tell. */
const fewestParts = 8;

/**
 * Nats per character below which all parts are alike. Chat tasks from templates have 0.02 (sampling alone makes
 * 0.01), one language's source code 0.06 to 0.08, mixtures of chat, prose and code 0.1 or more.
 */
const alike = 0.035;

/**
 * Mutual information between a part of the text and a byte in it, in nats: the mean divergence of a part's
 * distribution of bytes from the whole text's. Undefined if the text is too short.
 */
export function varietyOf(text: Uint8Array): number | undefined {
  const parts = Math.floor(text.length / partBytes);
  if (parts < fewestParts) {
    return undefined;
  }
  const whole = countBytes(text.subarray(0, parts * partBytes));
  let sum = 0;
  for (let part = 0; part < parts; part++) {
    const counts = countBytes(text.subarray(part * partBytes, (part + 1) * partBytes));
    for (const [byte, count] of counts.entries()) {
      if (count > 0) {
        sum += count * Math.log((count * parts) / (whole[byte] ?? 0));
      }
    }
  }
  return sum / (parts * partBytes);
}

/** A warning with advice if all parts are alike. It looks at characters only: of what a text is about it knows nothing. */
export function varietyWarning(text: Uint8Array): string | undefined {
  const variety = varietyOf(text);
  if (variety === undefined || variety >= alike) {
    return undefined;
  }
  return `the calibration text seems to be of one kind: its parts differ by ${variety.toFixed(3)} nats per character (mixed texts: 0.1 or more). A model calibrated on it loses more on other texts; mix in what it is to be used for (chat, prose, code, several languages).`;
}

function countBytes(bytes: Uint8Array): Float64Array {
  const counts = new Float64Array(256);
  for (const byte of bytes) {
    counts[byte] = (counts[byte] ?? 0) + 1;
  }
  return counts;
}
