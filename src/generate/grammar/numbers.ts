/** GBNF of the numbers within bounds, by their decimal digits. */
import { oneOf, repeated } from "./rules.js";

/** Digits before the point at most: integers of these are exact in any reader. */
const integerDigits = 15;
const largest = 10n ** BigInt(integerDigits) - 1n;
const integer = `"-"? ("0" | [1-9] [0-9]{0,${integerDigits - 1}})`;

export interface NumberBounds {
  readonly minimum?: number | undefined;
  readonly maximum?: number | undefined;
  readonly exclusiveMinimum?: number | undefined;
  readonly exclusiveMaximum?: number | undefined;
}

/** A bound, exact: `value` in units of 10 to the minus `decimals`. */
interface Bound {
  readonly value: bigint;
  readonly decimals: number;
  readonly isExclusive: boolean;
}

/** GBNF of the integers within bounds; undefined if there are none. */
export function integersBetween(bounds: NumberBounds): string | undefined {
  const low = lowBound(bounds);
  const high = highBound(bounds);
  if (!low && !high) {
    return integer;
  }
  return integerRange(low ? ceilAt(low, 0) : -largest, high ? floorAt(high, 0) : largest);
}

/** GBNF of the numbers within bounds; undefined if there are none that it can write. */
export function numbersBetween(bounds: NumberBounds): string | undefined {
  const low = lowBound(bounds);
  const high = highBound(bounds);
  if (!low && !high) {
    return `${integer} ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?`;
  }
  const zero: Bound = { value: 0n, decimals: 0, isExclusive: false };
  const alternatives: (string | undefined)[] = [];
  if (!high || high.value >= 0n) {
    alternatives.push(magnitudes(low && low.value > 0n ? low : low?.value === 0n ? low : zero, high));
  }
  if (!low || low.value < 0n) {
    const from = high && high.value <= 0n ? negated(high) : { ...zero, isExclusive: true };
    const found = magnitudes(from, low && negated(low));
    alternatives.push(found && `"-" ${found}`);
  }
  return union(alternatives);
}

/** Numbers from a bound that is not negative up to another. */
function magnitudes(low: Bound, high: Bound | undefined): string | undefined {
  const lowInteger = low.value / unit(low.decimals);
  const highInteger = high ? high.value / unit(high.decimals) : largest;
  const digits = Math.max(`${lowInteger}`.length, high ? `${highInteger}`.length : 1);
  // Texts of 15 digits are different numbers in any reader, so none is rounded onto a bound.
  const decimals = Math.max(1, 15 - digits);
  if (lowInteger > highInteger) {
    return undefined;
  }
  if (lowInteger === highInteger && high) {
    return union(sameInteger(lowInteger, low, high, decimals));
  }
  const between = integerRange(lowInteger + 1n, high ? highInteger - 1n : highInteger);
  return union([
    ...sameInteger(lowInteger, low, undefined, decimals),
    between && `${between} ("." [0-9]{1,${decimals}})?`,
    ...(high ? sameInteger(highInteger, undefined, high, decimals) : []),
  ]);
}

/** Numbers with this integer part, with each number of decimals that is possible. */
function sameInteger(
  part: bigint,
  low: Bound | undefined,
  high: Bound | undefined,
  decimals: number,
): (string | undefined)[] {
  const found: (string | undefined)[] = [];
  const enough = Math.min(decimals, 2 + Math.max(low?.decimals ?? 0, high?.decimals ?? 0, 6));
  for (let count = 0; count <= enough; count++) {
    const first = part * unit(count);
    const last = first + unit(count) - 1n;
    const from = low ? max(first, ceilAt(low, count)) : first;
    const to = high ? min(last, floorAt(high, count)) : last;
    if (from <= to) {
      const pad = (value: bigint) => `${value - first}`.padStart(count, "0");
      found.push(count === 0 ? `"${part}"` : `"${part}." ${digitsBetween(pad(from), pad(to))}`);
    }
  }
  return found;
}

/** GBNF of a range of integers. */
function integerRange(from: bigint, to: bigint): string | undefined {
  const low = max(from, -largest);
  const high = min(to, largest);
  if (low > high) {
    return undefined;
  }
  if (low < 0n) {
    const negative = integerRange(high < 0n ? -high : 1n, -low);
    return union([negative && `"-" ${negative}`, high >= 0n ? integerRange(0n, high) : undefined]);
  }
  const alternatives: string[] = [];
  for (let length = `${low}`.length; length <= `${high}`.length; length++) {
    const first = length === 1 ? 0n : unit(length - 1);
    const last = unit(length) - 1n;
    alternatives.push(digitsBetween(`${max(first, low)}`, `${min(last, high)}`));
  }
  return union(alternatives);
}

/** Strings of digits between two of the same length. */
function digitsBetween(low: string, high: string): string {
  const [a = "0", b = "0"] = [low[0], high[0]];
  const [lowRest, highRest] = [low.slice(1), high.slice(1)];
  if (low === "") {
    return '""';
  }
  if (/^0*$/.test(lowRest) && /^9*$/.test(highRest)) {
    return lowRest === ""
      ? range(a, b)
      : `${range(a, b)} ${repeated("[0-9]", lowRest.length, lowRest.length)}`;
  }
  if (a === b) {
    return `"${a}" ${digitsBetween(lowRest, highRest)}`;
  }
  const anything = repeated("[0-9]", lowRest.length, lowRest.length);
  const middle = Number(b) - Number(a) > 1 ? [`${range(`${+a + 1}`, `${+b - 1}`)} ${anything}`] : [];
  return oneOf([
    `"${a}" ${digitsBetween(lowRest, "9".repeat(lowRest.length))}`,
    ...middle,
    `"${b}" ${digitsBetween("0".repeat(highRest.length), highRest)}`,
  ]);
}

function range(first: string, last: string): string {
  return first === last ? `"${first}"` : `[${first}-${last}]`;
}

function union(alternatives: readonly (string | undefined)[]): string | undefined {
  const possible = alternatives.filter((alternative) => alternative !== undefined);
  return possible.length === 0 ? undefined : oneOf(possible);
}

function lowBound({ minimum, exclusiveMinimum }: NumberBounds): Bound | undefined {
  const isExclusive = exclusiveMinimum !== undefined && !((minimum ?? -Infinity) > exclusiveMinimum);
  const bound = isExclusive ? exclusiveMinimum : minimum;
  return bound === undefined || bound <= -Number(largest) ? undefined : exactBound(bound, isExclusive);
}

function highBound({ maximum, exclusiveMaximum }: NumberBounds): Bound | undefined {
  const isExclusive = exclusiveMaximum !== undefined && !((maximum ?? Infinity) < exclusiveMaximum);
  const bound = isExclusive ? exclusiveMaximum : maximum;
  return bound === undefined || bound >= Number(largest) ? undefined : exactBound(bound, isExclusive);
}

/** The shortest decimal of a number, which is what readers compare with. */
function exactBound(bound: number, isExclusive: boolean): Bound {
  const [mantissa = "0", exponent = "0"] = `${bound}`.split("e");
  const [integer = "0", fraction = ""] = mantissa.split(".");
  const shift = Number(exponent) - fraction.length;
  const value = BigInt(integer + fraction);
  return shift >= 0
    ? { value: value * unit(shift), decimals: 0, isExclusive }
    : { value, decimals: -shift, isExclusive };
}

/** The least multiple of 10 to the minus `decimals`, in that unit, that a lower bound allows. */
function ceilAt(bound: Bound, decimals: number): bigint {
  return -floorAt(negated(bound), decimals);
}

/** The greatest multiple of 10 to the minus `decimals`, in that unit, that an upper bound allows. */
function floorAt({ value, decimals: own, isExclusive }: Bound, decimals: number): bigint {
  const scaled = value * unit(decimals);
  const divisor = unit(own);
  const floor = scaled >= 0n ? scaled / divisor : -((-scaled + divisor - 1n) / divisor);
  return isExclusive && floor * divisor === scaled ? floor - 1n : floor;
}

function negated(bound: Bound): Bound {
  return { ...bound, value: -bound.value };
}

function unit(decimals: number): bigint {
  return 10n ** BigInt(decimals);
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
