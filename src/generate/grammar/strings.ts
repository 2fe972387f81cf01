/** GBNF of the JSON strings that a schema allows: by length, pattern or format. */
import { UsageError } from "../../errors.js";
import { anyCharacter, patternGbnf } from "./pattern.js";
import { type GrammarRules, literal, repeated } from "./rules.js";

export interface StringLimits {
  readonly minLength?: number | undefined;
  readonly maxLength?: number | undefined;
  readonly pattern?: string | undefined;
  readonly format?: string | undefined;
}

const host = "[a-z0-9]+(-[a-z0-9]+){0,4}(\\.[a-z0-9]+(-[a-z0-9]+){0,4}){0,4}";
const byte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const day = "(0[1-9]|1[0-9]|2[0-8])";
const date = `[0-9]{4}-((0[1-9]|1[0-2])-${day}|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)`;
const time = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";

/** Patterns of formats; each matches a part of what the format allows that is enough in practice. */
const formats: Readonly<Record<string, string>> = {
  date,
  time,
  "date-time": `${date}T${time}`,
  duration:
    "P([0-9]{1,4}W|[0-9]{1,4}D|([0-9]{1,4}D)?T([0-9]{1,4}H([0-9]{1,2}M)?([0-9]{1,2}S)?|[0-9]{1,4}M([0-9]{1,2}S)?|[0-9]{1,4}S))",
  uuid: "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
  email: "[A-Za-z0-9]+([._+-][A-Za-z0-9]+)*@([A-Za-z0-9]+(-[A-Za-z0-9]+){0,4}\\.){1,4}[A-Za-z]{2,10}",
  hostname: "[a-z0-9]{1,20}(-[a-z0-9]{1,20}){0,1}(\\.[a-z0-9]{1,20}(-[a-z0-9]{1,20}){0,1}){0,4}",
  ipv4: `${byte}\\.${byte}\\.${byte}\\.${byte}`,
  ipv6: "([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}",
  uri: `https?:\\/\\/${host}(:[1-9][0-9]{0,3})?(\\/[A-Za-z0-9_.~-]*)*(\\?[A-Za-z0-9_.~=&-]*)?(#[A-Za-z0-9_.~-]*)?`,
};

/** Lengths from here on are counted in groups: a rule for each possible length would be too many. */
const groupLength = 64;

/**
 * The name of a rule for strings within limits, quotes included; undefined if there are none. Formats that are not
 * known are annotations, as the standard says.
 * Throws a UsageError if pattern, format and length cannot be had together.
 */
export function stringRule(rules: GrammarRules, limits: StringLimits): string | undefined {
  const { minLength = 0, maxLength, pattern, format } = limits;
  if (maxLength !== undefined && maxLength < minLength) {
    return undefined;
  }
  const known = format !== undefined && Object.hasOwn(formats, format) ? formats[format] : undefined;
  if (pattern !== undefined && known !== undefined) {
    throw new UsageError(`the schema has a string with a pattern and the format "${format}"; leave one out.`);
  }
  if (pattern !== undefined || known !== undefined) {
    const part = patternGbnf(pattern ?? `^(?:${known})$`);
    if (part.least < minLength || part.most > (maxLength ?? Number.POSITIVE_INFINITY)) {
      throw new UsageError(
        `the schema has a string with a length and a ${pattern === undefined ? "format" : "pattern"} that does not imply it; say the length in the pattern.`,
      );
    }
    return rules.add("string", `${literal('"')} ${part.gbnf} ${literal('"')}`);
  }
  const character = rules.add("character", `${anyCharacter} | "\\\\" ("/" | "u" ${escapedUnit})`);
  return rules.add("string", `${literal('"')} ${counted(character, minLength, maxLength)} ${literal('"')}`);
}

/** A code unit that is no half of a surrogate pair, in hexadecimal. */
const escapedUnit = "([0-9a-cA-Ce-fE-F] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2})";

function counted(element: string, least: number, most: number | undefined): string {
  if (most === undefined) {
    return least === 0 ? `${element}*` : `${exactly(element, least)} ${element}*`;
  }
  const more = most - least;
  const begin = least === 0 ? "" : `${exactly(element, least)} `;
  if (more < 4 * groupLength) {
    return `${begin}${repeated(element, 0, more)}`;
  }
  const groups = Math.floor(more / groupLength);
  const group = `(${element}{${groupLength}})`;
  return `${begin}(${group}{0,${groups - 1}} ${repeated(element, 0, groupLength - 1)} | ${group}{${groups}} ${repeated(element, 0, more % groupLength)})`;
}

function exactly(element: string, count: number): string {
  if (count < 4 * groupLength) {
    return repeated(element, count, count);
  }
  const rest = count % groupLength;
  const groups = `(${element}{${groupLength}}){${Math.floor(count / groupLength)}}`;
  return rest === 0 ? groups : `${groups} ${element}{${rest}}`;
}
