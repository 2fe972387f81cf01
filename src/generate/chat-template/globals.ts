/** The functions that templates can call: Jinja's own, and those that transformers adds. */
import { argument } from "./attributes.js";
import {
  type Arguments,
  Callable,
  fail,
  Namespace,
  numeric,
  TemplateError,
  text,
  type Value,
} from "./values.js";

/** Longest list that `range` makes; Python's sandbox has the same bound. */
const maxRange = 100_000;

export function globalValues(now: Date): Map<string, Value> {
  return new Map<string, Value>([
    ["range", new Callable(range)],
    ["namespace", new Callable(namespace)],
    ["dict", new Callable(dict)],
    [
      "raise_exception",
      new Callable((given) => {
        throw new TemplateError(text(argument(given)(0) ?? ""));
      }),
    ],
    ["strftime_now", new Callable((given) => formatDate(now, text(argument(given)(0) ?? "")))],
    ["joiner", new Callable(joiner)],
    ["cycler", new Callable(cycler)],
  ]);
}

function range({ positional }: Arguments): Value {
  const numbers = positional.map((value) => numeric(value) ?? fail("range() needs integers"));
  const [start, stop] = numbers.length === 1 ? [0, numbers[0] ?? 0] : [numbers[0] ?? 0, numbers[1] ?? 0];
  const step = numbers[2] ?? 1;
  if (step === 0) {
    fail("range() arg 3 must not be zero");
  }
  const count = Math.max(0, Math.ceil((stop - start) / step));
  if (count > maxRange) {
    fail(`Range too big. The sandbox blocks ranges larger than ${maxRange}.`);
  }
  return Array.from({ length: count }, (_, index) => start + index * step);
}

function namespace({ positional, named }: Arguments): Value {
  const made = new Namespace();
  const first = positional[0];
  for (const [key, value] of [...(first instanceof Map ? first : []), ...named]) {
    made.values.set(key, value);
  }
  return made;
}

function dict({ positional, named }: Arguments): Value {
  const [first] = positional;
  return new Map<Value, Value>([...(first instanceof Map ? first : []), ...named]);
}

function cycler({ positional }: Arguments): Value {
  const made = new Namespace();
  let at = 0;
  const move = (to: number) => {
    at = positional.length === 0 ? fail("at least one item has to be provided") : to % positional.length;
    made.values.set("current", positional[at] ?? null);
  };
  move(0);
  made.values.set(
    "next",
    new Callable(() => {
      const current = positional[at] ?? null;
      move(at + 1);
      return current;
    }),
  );
  made.values.set(
    "reset",
    new Callable(() => {
      move(0);
      return null;
    }),
  );
  return made;
}

function joiner(given: Arguments): Value {
  const separator = argument(given)(0, "sep") ?? ", ";
  let isFirst = true;
  return new Callable(() => {
    const found = isFirst ? "" : separator;
    isFirst = false;
    return found;
  });
}

const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const months = "January February March April May June July August September October November December".split(
  " ",
);

/** Python's `strftime` in its C locale. */
export function formatDate(date: Date, pattern: string): string {
  const pad = (value: number, width = 2) => `${value}`.padStart(width, "0");
  const hour = date.getHours() % 12 || 12;
  const startOfYear = new Date(date.getFullYear(), 0, 1);
  const dayOfYear =
    1 +
    Math.round(
      (new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime() - startOfYear.getTime()) /
        86_400_000,
    );
  const fields: Readonly<Record<string, () => string>> = {
    Y: () => `${date.getFullYear()}`,
    y: () => pad(date.getFullYear() % 100),
    m: () => pad(date.getMonth() + 1),
    d: () => pad(date.getDate()),
    e: () => `${date.getDate()}`.padStart(2),
    H: () => pad(date.getHours()),
    I: () => pad(hour),
    M: () => pad(date.getMinutes()),
    S: () => pad(date.getSeconds()),
    p: () => (date.getHours() < 12 ? "AM" : "PM"),
    A: () => days[date.getDay()] ?? "",
    a: () => (days[date.getDay()] ?? "").slice(0, 3),
    B: () => months[date.getMonth()] ?? "",
    b: () => (months[date.getMonth()] ?? "").slice(0, 3),
    j: () => pad(dayOfYear, 3),
    F: () => formatDate(date, "%Y-%m-%d"),
    T: () => formatDate(date, "%H:%M:%S"),
    "%": () => "%",
  };
  return pattern.replace(/%(-?)([A-Za-z%])/g, (whole, bare: string, name: string) => {
    const value = Object.hasOwn(fields, name) ? fields[name]?.() : undefined;
    return value === undefined ? whole : bare ? value.replace(/^0+(?=\d)/, "") : value;
  });
}
