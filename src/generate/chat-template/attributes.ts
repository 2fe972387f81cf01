/** What `value.name` and `value[key]` give: items, and the methods of Python's strings, dicts and lists. */
import { braceFormat, center } from "./text-filters.js";
import {
  type Arguments,
  Attributes,
  Callable,
  type Dict,
  Float,
  fail,
  Group,
  isEqualValue,
  iterate,
  Markup,
  Namespace,
  numeric,
  represent,
  Tuple,
  text,
  typeName,
  Undefined,
  type Value,
} from "./values.js";

/** `value.name`: a method before an item of that name. */
export function attributeOf(value: Value, name: string): Value {
  const found = methodOf(value, name) ?? itemOf(value, name);
  return found === undefined ? missing(value, name) : found;
}

/** `value[key]`: an item before a method of that name. */
export function elementOf(value: Value, key: Value): Value {
  const item = itemOf(value, key);
  if (item !== undefined) {
    return item;
  }
  return (typeof key === "string" ? methodOf(value, key) : undefined) ?? missing(value, key);
}

function missing(value: Value, key: Value): Undefined {
  if (value instanceof Undefined) {
    return fail(value.reason);
  }
  const owner = value === null ? "None" : `'${typeName(value)} object'`;
  return new Undefined(
    typeof key === "string"
      ? `${owner} has no attribute ${represent(key)}`
      : `${owner} has no element ${represent(key)}`,
  );
}

function itemOf(value: Value, key: Value): Value | undefined {
  if (value instanceof Group && (key === "grouper" || key === "list")) {
    return value[key === "grouper" ? 0 : 1];
  }
  if (value instanceof Map) {
    return value.get(key instanceof Float ? key.value : key);
  }
  if (value instanceof Namespace || value instanceof Attributes) {
    return value.values.get(text(key));
  }
  const index = key instanceof Float ? undefined : numeric(key);
  return (Array.isArray(value) || typeof value === "string") && index !== undefined
    ? iterate(value).at(index)
    : undefined;
}

/** `value[start:stop:step]`. */
export function sliceOf(value: Value, start: Value, stop: Value, step: Value): Value {
  const items =
    typeof value === "string" || Array.isArray(value)
      ? iterate(value)
      : fail(`'${typeName(value)}' object is not subscriptable`);
  const by = step === null ? 1 : (numeric(step) ?? fail("slice indices must be integers"));
  if (by === 0) {
    fail("slice step cannot be zero");
  }
  const [low, high] = by > 0 ? [0, items.length] : [-1, items.length - 1];
  const bound = (given: Value, otherwise: number) => {
    if (given === null || given instanceof Undefined) {
      return otherwise;
    }
    const index = numeric(given) ?? fail("slice indices must be integers");
    return Math.min(Math.max(index < 0 ? index + items.length : index, low), high);
  };
  const chosen: Value[] = [];
  const [from, to] = [bound(start, by > 0 ? low : high), bound(stop, by > 0 ? high : low)];
  for (let at = from; by > 0 ? at < to : at > to; at += by) {
    chosen.push(items[at] ?? null);
  }
  return typeof value === "string" ? chosen.join("") : value instanceof Tuple ? Tuple.from(chosen) : chosen;
}

function methodOf(value: Value, name: string): Callable | undefined {
  const bound = <Owner>(methods: Methods<Owner>, owner: Owner) => {
    const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
    return method && new Callable((given) => method(owner, argument(given), given));
  };
  if (typeof value === "string" || value instanceof Markup) {
    return bound(stringMethods, text(value));
  }
  if (value instanceof Map) {
    return bound(dictMethods, value);
  }
  if (Array.isArray(value)) {
    if (["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"].includes(name)) {
      fail(`access to attribute '${name}' of 'list' object is unsafe.`);
    }
    return bound(listMethods, value);
  }
  return undefined;
}

type Argument = (index: number, name?: string) => Value | undefined;
type Methods<Owner> = Readonly<Record<string, (owner: Owner, argument: Argument, given: Arguments) => Value>>;

/** Reads an argument by position or name. */
export function argument({ positional, named }: Arguments): Argument {
  return (index, name) =>
    index < positional.length ? positional[index] : name === undefined ? undefined : named.get(name);
}

const listMethods: Methods<Value[]> = {
  index: (list, given) => {
    const at = list.findIndex((item) => isEqualValue(item, given(0) ?? null));
    return at >= 0 ? at : fail("the item is not in the list");
  },
  count: (list, given) => list.filter((item) => isEqualValue(item, given(0) ?? null)).length,
  copy: (list) => [...list],
};

const dictMethods: Methods<Dict> = {
  get: (dict, given) => (dict.has(given(0) ?? null) ? dict.get(given(0) ?? null) : given(1)) ?? null,
  items: (dict) => Array.from(dict, ([key, value]) => Tuple.of(key, value)),
  keys: (dict) => [...dict.keys()],
  values: (dict) => [...dict.values()],
  copy: (dict) => new Map(dict),
};

const stringMethods: Methods<string> = {
  upper: (string) => string.toUpperCase(),
  lower: (string) => string.toLowerCase(),
  casefold: (string) => string.replaceAll("ß", "ss").toLowerCase(),
  title: titleCase,
  capitalize: capitalized,
  swapcase: (string) =>
    string.replace(/\p{L}/gu, (letter) =>
      letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase(),
    ),
  strip: (string, given) => strip(string, given(0), true, true),
  lstrip: (string, given) => strip(string, given(0), true, false),
  rstrip: (string, given) => strip(string, given(0), false, true),
  startswith: (string, given) =>
    affixes(given(0)).some((affix) => within(string, given(1), given(2)).startsWith(affix)),
  endswith: (string, given) =>
    affixes(given(0)).some((affix) => within(string, given(1), given(2)).endsWith(affix)),
  removeprefix: (string, given) =>
    string.startsWith(text(given(0) ?? "")) ? string.slice(text(given(0) ?? "").length) : string,
  removesuffix: (string, given) => {
    const suffix = text(given(0) ?? "");
    return suffix !== "" && string.endsWith(suffix) ? string.slice(0, -suffix.length) : string;
  },
  replace: (string, given) =>
    replaced(string, expectText(given(0)), expectText(given(1)), numeric(given(2, "count") ?? -1) ?? -1),
  split: (string, given) => split(string, given(0, "sep") ?? null, numeric(given(1, "maxsplit") ?? -1) ?? -1),
  rsplit: (string, given) =>
    rightSplit(string, given(0, "sep") ?? null, numeric(given(1, "maxsplit") ?? -1) ?? -1),
  splitlines: (string, given) => {
    const lines = string.match(/[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$/g) ?? [];
    return given(0, "keepends") === true
      ? [...lines]
      : lines.map((line) => line.replace(/(\r\n|\r|\n)$/, ""));
  },
  partition: (string, given) => {
    const separator = expectText(given(0));
    const at = string.indexOf(separator);
    return at < 0
      ? Tuple.of(string, "", "")
      : Tuple.of(string.slice(0, at), separator, string.slice(at + separator.length));
  },
  rpartition: (string, given) => {
    const separator = expectText(given(0));
    const at = string.lastIndexOf(separator);
    return at < 0
      ? Tuple.of("", "", string)
      : Tuple.of(string.slice(0, at), separator, string.slice(at + separator.length));
  },
  join: (string, given) =>
    iterate(given(0) ?? null)
      .map((item) => expectText(item))
      .join(string),
  find: (string, given) => found(string, string.indexOf(expectText(given(0)))),
  rfind: (string, given) => found(string, string.lastIndexOf(expectText(given(0)))),
  index: (string, given) => {
    const at = string.indexOf(expectText(given(0)));
    return at < 0 ? fail("substring not found") : found(string, at);
  },
  count: (string, given) => string.split(expectText(given(0))).length - 1,
  center: (string, given) => center(string, numeric(given(0) ?? 0) ?? 0, text(given(1) ?? " ")),
  expandtabs: (string, given) => expandTabs(string, numeric(given(0, "tabsize") ?? 8) ?? 8),
  isdecimal: (string) => /^\p{Nd}+$/u.test(string),
  isnumeric: (string) => /^\p{N}+$/u.test(string),
  istitle: (string) => /\p{L}/u.test(string) && string === titleCase(string),
  isdigit: (string) => /^[\p{Nd}²³¹⁰⁴-⁹₀-₉]+$/u.test(string),
  isalpha: (string) => /^\p{L}+$/u.test(string),
  isalnum: (string) => /^[\p{L}\p{N}]+$/u.test(string),
  isspace: (string) => /^\s+$/u.test(string),
  isupper: (string) => string !== string.toLowerCase() && string === string.toUpperCase(),
  islower: (string) => string !== string.toUpperCase() && string === string.toLowerCase(),
  zfill: (string, given) => {
    const sign = /^[+-]/.test(string) ? (string[0] ?? "") : "";
    return sign + string.slice(sign.length).padStart((numeric(given(0) ?? 0) ?? 0) - sign.length, "0");
  },
  ljust: (string, given) => string.padEnd(numeric(given(0) ?? 0) ?? 0, text(given(1) ?? " ")),
  rjust: (string, given) => string.padStart(numeric(given(0) ?? 0) ?? 0, text(given(1) ?? " ")),
  format: (string, _argument, { positional, named }) => braceFormat(string, positional, named),
};

/** Position by characters, as Python counts. */
function found(string: string, at: number): number {
  return at < 0 ? -1 : Array.from(string.slice(0, at)).length;
}

function within(string: string, start: Value | undefined, end: Value | undefined): string {
  return start === undefined ? string : text(sliceOf(string, start, end ?? null, null));
}

function expandTabs(string: string, size: number): string {
  let column = 0;
  return Array.from(string, (character) => {
    const width = character === "\t" ? (size > 0 ? size - (column % size) : 0) : 1;
    column = character === "\n" || character === "\r" ? 0 : column + width;
    return character === "\t" ? " ".repeat(width) : character;
  }).join("");
}

function affixes(given: Value | undefined): string[] {
  return given instanceof Tuple ? given.map(expectText) : [expectText(given)];
}

function expectText(value: Value | undefined): string {
  return typeof value === "string" ? value : fail(`expected a string, not '${typeName(value ?? null)}'`);
}

/** White space as Python has it: JavaScript's with the separators of ASCII and NEL, without the byte order mark. */
const isPythonSpace = (character: string) =>
  character !== "\ufeff" &&
  (/\s/.test(character) || ["\u001c", "\u001d", "\u001e", "\u001f", "\u0085"].includes(character));

export function strip(
  string: string,
  characters: Value | undefined,
  atStart: boolean,
  atEnd: boolean,
): string {
  const set = typeof characters === "string" ? new Set(characters) : undefined;
  const isDropped = (character: string | undefined) =>
    character !== undefined && (set ? set.has(character) : isPythonSpace(character));
  const all = Array.from(string);
  let [from, to] = [0, all.length];
  while (atStart && from < to && isDropped(all[from])) {
    from++;
  }
  while (atEnd && to > from && isDropped(all[to - 1])) {
    to--;
  }
  return all.slice(from, to).join("");
}

export function titleCase(string: string): string {
  return string.replace(/\p{L}+/gu, capitalized);
}

export function capitalized(string: string): string {
  const [first = "", ...rest] = string;
  return first.toUpperCase() + rest.join("").toLowerCase();
}

export function replaced(string: string, from: string, to: string, count: number): string {
  const parts = from === "" ? ["", ...string, ""] : string.split(from);
  const most = count < 0 ? parts.length - 1 : Math.min(count, parts.length - 1);
  return (
    parts.slice(0, most + 1).join(to) +
    (most + 1 < parts.length ? from + parts.slice(most + 1).join(from) : "")
  );
}

function split(string: string, separator: Value, most: number): string[] {
  if (separator === null) {
    const words = string.match(/\S+/g) ?? [];
    if (most < 0 || words.length <= most) {
      return [...words];
    }
    let rest = string.trimStart();
    for (const word of words.slice(0, most)) {
      rest = rest.slice(word.length).trimStart();
    }
    return [...words.slice(0, most), rest];
  }
  const by = expectText(separator);
  const parts = by === "" ? fail("empty separator") : string.split(by);
  return most < 0 || parts.length <= most ? parts : [...parts.slice(0, most), parts.slice(most).join(by)];
}

function rightSplit(string: string, separator: Value, most: number): string[] {
  const parts = split(string, separator, -1);
  const by = separator === null ? " " : expectText(separator);
  const cut = parts.length - most;
  return most < 0 || cut <= 1 ? parts : [parts.slice(0, cut).join(by), ...parts.slice(cut)];
}
