/** Filters and methods that lay out texts: padding, breaking lines, numbers in formats. */
import {
  escapeMarkup,
  Float,
  fail,
  Markup,
  numeric,
  represent,
  text,
  typeName,
  type Value,
} from "./values.js";

/** Python's `str.center`. */
export function center(string: string, width: number, fill = " "): string {
  const missing = Math.max(0, width - Array.from(string).length);
  // The odd character stands on the left if the width is odd, as in CPython.
  const left = Math.floor(missing / 2) + (missing & width & 1);
  return fill.repeat(left) + string + fill.repeat(missing - left);
}

/** Jinja's `truncate`: at a word's end unless `kills` words; texts that are only `leeway` longer stay. */
export function truncate(
  string: string,
  length: number,
  kills: boolean,
  end: string,
  leeway: number,
): string {
  const characters = Array.from(string);
  if (characters.length <= length + leeway) {
    return string;
  }
  const kept = characters.slice(0, Math.max(0, length - Array.from(end).length)).join("");
  const space = kept.lastIndexOf(" ");
  return (kills || space < 0 ? kept : kept.slice(0, space)) + end;
}

/** Jinja's `wordwrap`: lines of at most `width` characters; longer words are broken. */
export function wordwrap(string: string, width: number): string {
  return string
    .split("\n")
    .map((line) => wrapped(line, width).join("\n"))
    .join("\n");
}

function wrapped(line: string, width: number): string[] {
  const lines: string[] = [];
  let current = "";
  for (const part of line.split(/(?<=\s)(?=\S)/)) {
    let word = part;
    if (current !== "" && (current + word.trimEnd()).length > width) {
      lines.push(current.trimEnd());
      current = "";
    }
    while (word.trimEnd().length > width) {
      lines.push(word.slice(0, width));
      word = word.slice(width);
    }
    current += word;
  }
  return [...lines, ...(current === "" ? [] : [current.trimEnd()])];
}

/** Jinja's `filesizeformat`. */
export function fileSize(bytes: number, isBinary: boolean): string {
  const base = isBinary ? 1024 : 1000;
  if (bytes === 1) {
    return "1 Byte";
  }
  if (bytes < base) {
    return `${Math.trunc(bytes)} Bytes`;
  }
  const exponent = Math.min(8, Math.floor(Math.log(bytes) / Math.log(base)));
  const unit = "kMGTPEZY"[exponent - 1] ?? "";
  return `${(bytes / base ** exponent).toFixed(1)} ${isBinary ? `${unit.toUpperCase()}iB` : `${unit}B`}`;
}

/** Jinja's `xmlattr`: attributes of an element, without those that are none. */
export function xmlAttributes(value: Value): Markup {
  if (!(value instanceof Map)) {
    return fail(`'${typeName(value)}' object has no attribute 'items'`);
  }
  const attributes = Array.from(value)
    .filter(([, item]) => item !== null)
    .map(([key, item]) => `${escapeMarkup(key)}="${escapeMarkup(item)}"`);
  return new Markup(attributes.length === 0 ? "" : ` ${attributes.join(" ")}`);
}

/** Text without tags and comments, its white space made single spaces. */
export function stripTags(html: string): string {
  return html
    .replace(/<!--[\s\S]*?-->|<[^>]*>/g, "")
    .split(/\s+/)
    .filter((word) => word !== "")
    .join(" ");
}

/** Python's `round`: halves to the even neighbour; integers stay integers. */
export function round(value: Value, digits: number): Value {
  const given = numeric(value) ?? fail(`'${typeName(value)}' is not a number`);
  const unit = 10 ** digits;
  // toFixed compares exactly, but takes the larger of two that are as near.
  const nearest =
    digits > 0 ? Number(given.toFixed(Math.min(100, digits))) : roundHalfToEven(given * unit) / unit;
  const below = nearest - Math.sign(given) / unit;
  const [, decimals = ""] = given.toFixed(Math.min(100, Math.max(0, digits) + 50)).split(".");
  const isTie = digits > 0 && /^50*$/.test(decimals.slice(digits));
  const result = isTie && Math.round(nearest * unit) % 2 !== 0 ? Number(below.toFixed(digits)) : nearest;
  return value instanceof Float ? new Float(result) : result;
}

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2 === 0 ? 0 : 1) : Math.round(value);
}

/** Python's `%` between a text and values: `%s`, `%d`, `%r`, `%f`, `%x`, also with names. */
export function percentFormat(
  pattern: string,
  values: readonly Value[],
  named: ReadonlyMap<Value, Value> = new Map(),
): string {
  let next = 0;
  return pattern.replace(
    /%(?:(%)|(?:\((\w+)\))?([-0]*)(\d*)(?:\.(\d+))?([sdrfix]))/g,
    (_, percent, name, flags, width, decimals, kind) => {
      if (percent) {
        return "%";
      }
      const value = name === undefined ? values[next++] : named.get(name);
      return padded(
        converted(value ?? fail("not enough arguments for format string"), kind, decimals),
        Number(width || 0),
        flags.includes("-") ? "<" : ">",
        flags.includes("0") && kind !== "s" && kind !== "r" ? "0" : " ",
      );
    },
  );
}

function converted(value: Value, kind: string | undefined, decimals: string | undefined): string {
  const number = () => numeric(value) ?? fail(`'${typeName(value)}' is not a number`);
  switch (kind) {
    case "f":
      return fixed(number(), decimals === undefined ? 6 : Number(decimals));
    case "x":
      return number().toString(16);
    case "d":
    case "i":
      return `${Math.trunc(number())}`;
    case "r":
      return represent(value);
    default:
      return text(value);
  }
}

/** With a number of digits after the point, halves to even where the number is one exactly. */
function fixed(value: number, digits: number): string {
  const rounded = round(new Float(value), digits);
  return (rounded instanceof Float ? rounded.value : value).toFixed(Math.min(100, digits));
}

function padded(string: string, width: number, align: string, fill: string): string {
  if (align === "^") {
    const missing = Math.max(0, width - string.length);
    return fill.repeat(Math.floor(missing / 2)) + string + fill.repeat(missing - Math.floor(missing / 2));
  }
  if (align === "<") {
    return string.padEnd(width, fill);
  }
  const sign = fill === "0" && /^[+-]/.test(string) ? (string[0] ?? "") : "";
  return sign + string.slice(sign.length).padStart(width - sign.length, fill);
}

/** Python's `str.format`: fields by position or name, with alignment, width, digits and kind. */
export function braceFormat(
  string: string,
  positional: readonly Value[],
  named: ReadonlyMap<string, Value>,
): string {
  let next = 0;
  return string.replace(
    /\{\{|\}\}|\{(\w*)(?::(?:(.)?([<>^]))?(0?)(\d*)(?:\.(\d+))?([sdfx]?))?\}/gu,
    (
      field,
      name?: string,
      fill?: string,
      align?: string,
      zero?: string,
      width?: string,
      decimals?: string,
      kind?: string,
    ) => {
      if (name === undefined) {
        return field[0] ?? "";
      }
      const value =
        (name === ""
          ? positional[next++]
          : /^\d+$/.test(name)
            ? positional[Number(name)]
            : named.get(name)) ?? fail(`format has no argument for ${field}`);
      const standard = numeric(value) === undefined ? "<" : ">";
      return padded(
        converted(value, kind || undefined, decimals),
        Number(width || 0),
        align ?? standard,
        fill ?? (zero || " "),
      );
    },
  );
}
