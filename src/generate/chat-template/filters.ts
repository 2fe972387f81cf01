/** Jinja's filters. */
import { argument, attributeOf, capitalized, elementOf, replaced, strip, titleCase } from "./attributes.js";
import { tests } from "./tests.js";
import {
  center,
  fileSize,
  percentFormat,
  round,
  stripTags,
  truncate,
  wordwrap,
  xmlAttributes,
} from "./text-filters.js";
import {
  type Arguments,
  compareValues,
  escapeMarkup,
  Float,
  fail,
  Group,
  isEqualValue,
  isTrue,
  iterate,
  type JsonStyle,
  lengthOf,
  Markup,
  numeric,
  Tuple,
  text,
  toJson,
  typeName,
  Undefined,
  type Value,
} from "./values.js";

type Filter = (
  value: Value,
  argument: (index: number, name?: string) => Value | undefined,
  given: Arguments,
) => Value;

/** Applies a filter by its name. Throws a TemplateError if there is none of that name. */
export function applyFilter(name: string, value: Value, given: Arguments): Value {
  const filter = Object.hasOwn(filters, name) ? filters[name] : undefined;
  return filter ? filter(value, argument(given), given) : fail(`No filter named '${name}'.`);
}

const length: Filter = (value) => lengthOf(value);
const orDefault: Filter = (value, given) =>
  value instanceof Undefined || (isTrue(given(1, "boolean") ?? false) && !isTrue(value))
    ? orText(given(0, "default_value"))
    : value;
const orText = (value: Value | undefined): Value => (value === undefined ? "" : value);
const escaped: Filter = (value) => new Markup(escapeMarkup(value));

const filters: Readonly<Record<string, Filter>> = {
  abs: (value) => wrap(Math.abs(number(value)), value),
  attr: (value, given) => attributeOf(value, text(given(0) ?? "")),
  batch: (value, given) => chunks(iterate(value), number(given(0) ?? 1), given(1, "fill_with")),
  capitalize: (value) => capitalized(text(value)),
  center: (value, given) => center(text(value), number(given(0, "width") ?? 80)),
  count: length,
  d: orDefault,
  default: orDefault,
  dictsort: (value, given) => {
    if (!(value instanceof Map)) {
      return fail(`'${typeName(value)}' object has no attribute 'items'`);
    }
    const at = given(1, "by") === "value" ? 1 : 0;
    const entries = Array.from(value, ([key, item]): Value[] => Tuple.of(key, item));
    return sorted(
      entries,
      (entry) => (entry as Value[])[at] ?? null,
      given(0, "case_sensitive"),
      given(2, "reverse"),
    );
  },
  e: escaped,
  escape: escaped,
  first: (value) => orUndefined(iterate(value)[0], "No first item, sequence was empty."),
  float: (value, given) => {
    const found = typeof value === "string" ? parseNumber(value) : numeric(value);
    return found === undefined ? (given(0, "default") ?? new Float(0)) : new Float(found);
  },
  filesizeformat: (value, given) => fileSize(number(value), isTrue(given(0, "binary") ?? false)),
  forceescape: (value) => new Markup(escapeMarkup(text(value))),
  format: (value, _argument, { positional, named }) => percentFormat(text(value), positional, named),
  groupby: (value, given) => {
    const key = itemGetter(given(0, "attribute") ?? "");
    const groups: { key: Value; items: Value[] }[] = [];
    for (const item of sorted(iterate(value), key, undefined, undefined)) {
      const last = groups.at(-1);
      if (last && isEqualValue(last.key, key(item))) {
        last.items.push(item);
      } else {
        groups.push({ key: key(item), items: [item] });
      }
    }
    return groups.map((group) => Group.from([group.key, group.items]));
  },
  indent: (value, given) => {
    const width = given(0, "width") ?? 4;
    const margin = typeof width === "string" ? width : " ".repeat(number(width));
    const [first = "", ...lines] = text(value).split("\n");
    const isBlankToo = isTrue(given(2, "blank") ?? false);
    const rest = lines.map((line) => (line === "" && !isBlankToo ? line : margin + line));
    return [isTrue(given(1, "first") ?? false) ? margin + first : first, ...rest].join("\n");
  },
  int: (value, given) => {
    const base = numeric(given(1, "base") ?? 10) ?? 10;
    const found =
      typeof value === "string"
        ? base === 10
          ? parseNumber(value)
          : Number.parseInt(value, base)
        : numeric(value);
    return found === undefined || !Number.isFinite(found) ? (given(0, "default") ?? 0) : Math.trunc(found);
  },
  items: (value) => {
    if (value instanceof Undefined) {
      return [];
    }
    return value instanceof Map
      ? Array.from(value, ([key, item]) => Tuple.of(key, item))
      : fail("Can only get item pairs from a mapping.");
  },
  join: (value, given) => {
    const attribute = given(1, "attribute");
    const items = attribute === undefined ? iterate(value) : iterate(value).map(itemGetter(attribute));
    return items.map(text).join(text(given(0, "d") ?? ""));
  },
  last: (value) => orUndefined(iterate(value).at(-1), "No last item, sequence was empty."),
  length,
  list: (value) => [...iterate(value)],
  lower: (value) => text(value).toLowerCase(),
  map: (value, given, { positional, named }) => {
    const attribute = named.get("attribute");
    if (attribute !== undefined) {
      const otherwise = named.get("default");
      return iterate(value).map((item) => {
        const found = itemGetter(attribute)(item);
        return found instanceof Undefined && otherwise !== undefined ? otherwise : found;
      });
    }
    const name = text(given(0) ?? fail("map requires a filter argument"));
    return iterate(isTrue(value) ? value : []).map((item) =>
      applyFilter(name, item, { positional: positional.slice(1), named }),
    );
  },
  max: (value, given) => extreme(value, given, 1),
  min: (value, given) => extreme(value, given, -1),
  reject: (value, _argument, given) => chosen(value, given, 0, false),
  rejectattr: (value, _argument, given) => chosen(value, given, 1, false),
  replace: (value, given) =>
    replaced(
      text(value),
      text(given(0, "old") ?? ""),
      text(given(1, "new") ?? ""),
      numeric(given(2, "count") ?? -1) ?? -1,
    ),
  reverse: (value) =>
    typeof value === "string" ? Array.from(value).reverse().join("") : [...iterate(value)].reverse(),
  round: (value, given) => {
    const [digits, method] = [number(given(0, "precision") ?? 0), given(1, "method") ?? "common"];
    if (method !== "ceil" && method !== "floor") {
      return round(value, digits);
    }
    const scaled = number(value) * 10 ** digits;
    return new Float((method === "ceil" ? Math.ceil(scaled) : Math.floor(scaled)) / 10 ** digits);
  },
  safe: (value) => new Markup(text(value)),
  select: (value, _argument, given) => chosen(value, given, 0, true),
  selectattr: (value, _argument, given) => chosen(value, given, 1, true),
  slice: (value, given) => {
    const [items, count] = [iterate(value), number(given(0) ?? 1)];
    const [size, longer] = [Math.floor(items.length / count), items.length % count];
    return Array.from({ length: count }, (_, index) => {
      const from = index * size + Math.min(index, longer);
      const part = items.slice(from, from + size + (index < longer ? 1 : 0));
      const fill = given(1, "fill_with");
      return fill !== undefined && index >= longer && longer > 0 ? [...part, fill] : part;
    });
  },
  sort: (value, given) =>
    sorted(iterate(value), sortKey(given(2, "attribute")), given(1, "case_sensitive"), given(0, "reverse")),
  string: (value) => text(value),
  striptags: (value) => stripTags(text(value)),
  sum: (value, given) => {
    const attribute = given(0, "attribute");
    const items = attribute === undefined ? iterate(value) : iterate(value).map(itemGetter(attribute));
    const all = [given(1, "start") ?? 0, ...items];
    const total = all.reduce<number>((sum, item) => sum + number(item), 0);
    return all.some((item) => item instanceof Float) ? new Float(total) : total;
  },
  title: (value) => titleCase(text(value)),
  tojson: (value, given) => toJson(value, jsonStyle(given)),
  trim: (value, given) => strip(text(value), given(0, "chars"), true, true),
  truncate: (value, given) =>
    truncate(
      text(value),
      number(given(0, "length") ?? 255),
      isTrue(given(1, "killwords") ?? false),
      text(given(2, "end") ?? "..."),
      number(given(3, "leeway") ?? 5),
    ),
  unique: (value, given) => {
    const attribute = given(1, "attribute");
    const key = attribute === undefined ? (item: Value) => item : itemGetter(attribute);
    const seen: Value[] = [];
    return iterate(value).filter((item) => {
      const folded = fold(key(item), given(0, "case_sensitive"));
      const isNew = !seen.some((other) => isEqualValue(other, folded));
      seen.push(folded);
      return isNew;
    });
  },
  upper: (value) => text(value).toUpperCase(),
  urlencode: (value) =>
    value instanceof Map
      ? new URLSearchParams(
          Array.from(value, ([key, item]): [string, string] => [text(key), text(item)]),
        ).toString()
      : encodeURIComponent(text(value)).replaceAll("%2F", "/"),
  wordcount: (value) => (text(value).match(/[\p{L}\p{N}_]+/gu) ?? []).length,
  wordwrap: (value, given) => wordwrap(text(value), number(given(0, "width") ?? 79)),
  xmlattr: xmlAttributes,
};

/** The arguments of `tojson` as transformers defines it. */
function jsonStyle(given: (index: number, name?: string) => Value | undefined): JsonStyle {
  const indent = given(1, "indent");
  const separators = given(2, "separators");
  return {
    isAscii: isTrue(given(0, "ensure_ascii") ?? false),
    indent: typeof indent === "string" ? indent : indent === undefined ? undefined : numeric(indent),
    separators: Array.isArray(separators)
      ? [text(separators[0] ?? ""), text(separators[1] ?? "")]
      : undefined,
    sortKeys: isTrue(given(3, "sort_keys") ?? false),
  };
}

/** `select` and its kin: the items that pass a test, or whose attribute does. */
function chosen(
  value: Value,
  { positional, named }: Arguments,
  attributes: number,
  isWanted: boolean,
): Value {
  const key =
    attributes === 0 ? (item: Value) => item : itemGetter(positional[0] ?? fail("missing attribute"));
  const name = positional[attributes];
  const rest = { positional: positional.slice(attributes + 1), named };
  const passes = (item: Value) => (name === undefined ? isTrue(item) : applyTest(text(name), item, rest));
  return iterate(isTrue(value) ? value : []).filter((item) => passes(key(item)) === isWanted);
}

/** Whether a value passes a test. Throws a TemplateError if there is none of that name. */
export function applyTest(name: string, value: Value, { positional }: Arguments): boolean {
  if (name === "filter" || name === "test") {
    return Object.hasOwn(name === "filter" ? filters : tests, text(value));
  }
  const test = Object.hasOwn(tests, name) ? tests[name] : undefined;
  return test ? test(value, positional[0] ?? null) : fail(`No test named '${name}'.`);
}

/** Reads "a.b.0" of items; several paths with commas between them for `sort`. */
function itemGetter(path: Value): (item: Value) => Value {
  const parts = typeof path === "string" ? path.split(".") : [path];
  return (item) =>
    parts.reduce<Value>(
      (value, part) =>
        value instanceof Undefined
          ? value
          : elementOf(value, typeof part === "string" && /^\d+$/.test(part) ? Number(part) : part),
      item,
    );
}

/** The key by which `sort` compares: one attribute or several. */
function sortKey(attribute: Value | undefined): (item: Value) => Value {
  if (typeof attribute !== "string" || !attribute.includes(",")) {
    return attribute === undefined ? (item) => item : itemGetter(attribute);
  }
  const getters = attribute.split(",").map(itemGetter);
  return (item) => getters.map((get) => get(item));
}

function sorted(
  items: readonly Value[],
  key: (item: Value) => Value,
  isExact: Value | undefined,
  reverse: Value | undefined,
): Value[] {
  const keyed = items.map((item) => ({ item, key: fold(key(item), isExact) }));
  const sign = isTrue(reverse ?? false) ? -1 : 1;
  return keyed.sort((a, b) => sign * compareValues(a.key, b.key)).map(({ item }) => item);
}

/** Filters compare texts without regard to case unless told otherwise. */
function fold(value: Value, isExact: Value | undefined): Value {
  if (Array.isArray(value)) {
    return value.map((item) => fold(item, isExact));
  }
  return typeof value === "string" && !isTrue(isExact ?? false) ? value.toLowerCase() : value;
}

function extreme(
  value: Value,
  given: (index: number, name?: string) => Value | undefined,
  sign: number,
): Value {
  const attribute = given(1, "attribute");
  const key = attribute === undefined ? (item: Value) => item : itemGetter(attribute);
  const keyOf = (item: Value) => fold(key(item), given(0, "case_sensitive"));
  const [first, ...items] = iterate(value);
  if (first === undefined) {
    return new Undefined("No aggregated item, sequence was empty.");
  }
  return items.reduce(
    (best, item) => (sign * compareValues(keyOf(item), keyOf(best)) > 0 ? item : best),
    first,
  );
}

function chunks(items: readonly Value[], size: number, fill: Value | undefined): Value[][] {
  const parts: Value[][] = [];
  for (let from = 0; from < items.length; from += Math.max(1, size)) {
    const part = items.slice(from, from + Math.max(1, size));
    const missing = fill === undefined ? 0 : size - part.length;
    parts.push([...part, ...Array.from({ length: missing }, () => fill ?? null)]);
  }
  return parts;
}

function orUndefined(value: Value | undefined, reason: string): Value {
  return value === undefined ? new Undefined(reason) : value;
}

function number(value: Value): number {
  return numeric(value) ?? fail(`'${typeName(value)}' is not a number`);
}

function wrap(result: number, like: Value): Value {
  return like instanceof Float ? new Float(result) : result;
}

function parseNumber(value: string): number | undefined {
  const plain = value.trim().replaceAll("_", "");
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain) ? Number(plain) : undefined;
}
