/** Numbers as people read them. SI: 1 GB = 10^9 bytes; 1 GiB = 2^30 bytes; the unit is always printed. */

const decimal = ["B", "kB", "MB", "GB", "TB"] as const;
const binary = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

function scaled(bytes: number, base: number, units: readonly string[]): string {
  let value = bytes;
  let unit = 0;
  while (value >= base && unit < units.length - 1) {
    value /= base;
    unit++;
  }
  return `${unit > 0 ? value.toFixed(2) : Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`;
}

/** `11.41 GB`: powers of ten. */
export function formatBytes(bytes: number): string {
  return scaled(bytes, 1000, decimal);
}

/** `5.6629 ± 0.2068`: a value and its standard error, NaN if there is none. */
export function plusMinus(value = Number.NaN, error = Number.NaN, digits = 4): string {
  return `${value.toFixed(digits)} ± ${error.toFixed(digits)}`;
}

/** `10.63 GiB`: powers of two. */
export function formatBinaryBytes(bytes: number): string {
  return scaled(bytes, 1024, binary);
}

/** `30.5 B`, `14.4 M`: counts of weights or tokens. */
export function formatCount(count: number): string {
  for (const [limit, suffix] of [
    [1e12, "T"],
    [1e9, "B"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const) {
    if (count >= limit) {
      return `${(count / limit).toFixed(count / limit < 100 ? 2 : 1)} ${suffix}`;
    }
  }
  return Number.isInteger(count) ? String(count) : count.toFixed(1);
}

/** `1:02:03`, `2:03`, `3.4 s`. */
export function formatDuration(seconds: number): string {
  if (seconds < 60) {
    return `${seconds.toFixed(1)} s`;
  }
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const tail = `${String(minutes).padStart(hours > 0 ? 2 : 1, "0")}:${String(rest).padStart(2, "0")}`;
  return hours > 0 ? `${hours}:${tail}` : tail;
}
