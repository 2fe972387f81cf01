/** GBNF of JSON objects: members in a fixed order, some of them optional, then further ones. */
import { UsageError } from "../../errors.js";
import { type GrammarRules, literal, repeated } from "./rules.js";

export interface Member {
  /** GBNF of the key with its quotes, and of the value. */
  readonly key: string;
  readonly value: string;
}

/** Characters of keys beside those of a schema: none that JSON escapes, so that a key has one spelling. */
const notInKeys = '\\"\\\\\\U00000001-\\U0000001F\\U0000007F\\U0000D800-\\U0000DFFF';

/** GBNF of an object: its members in order, then any number of additional ones. */
export function membersRule(
  rules: GrammarRules,
  space: string,
  members: readonly (Member & { readonly isRequired: boolean })[],
  additional: Member | undefined,
): string {
  const pair = ({ key, value }: Member) => `${key} ":" ${space} ${value}`;
  const comma = `"," ${space}`;
  // What can follow when members from an index on are left: after another member, and at the beginning.
  let after = additional ? repeated(`(${comma} ${pair(additional)})`, 0, undefined) : "";
  let begin = additional ? `(${pair(additional)} ${after} ${space})?` : "";
  for (const member of members.toReversed()) {
    const next = after === "" ? "" : rules.add("members", after);
    const later = begin === "" ? '""' : rules.add("members", begin);
    const here = `${pair(member)} ${next} ${space}`;
    begin = member.isRequired ? here : `${here} | ${later}`;
    const following = `${comma} ${pair(member)}`;
    after = member.isRequired ? `${following} ${next}` : `(${following})? ${next}`;
  }
  return `"{" ${space} ${begin === "" ? "" : rules.add("members", begin)} "}"`;
}

/** Longest name that other keys can be told from. */
const maxNameLength = 256;

interface Trie {
  isEnd: boolean;
  readonly children: Map<string, Trie>;
}

/** The name of a rule for all keys, with their quotes, but these. */
export function keyRuleExcept(rules: GrammarRules, names: Iterable<string>): string {
  const root: Trie = { isEnd: false, children: new Map() };
  for (const name of names) {
    if (name.length > maxNameLength) {
      throw new UsageError(
        `the schema has a property whose name is longer than ${maxNameLength} characters beside additional ones; shorten it.`,
      );
    }
    if (JSON.stringify(name) === `"${name}"`) {
      insert(root, name);
    }
  }
  const anything = `[^${notInKeys}]*`;
  const ruleOf = (node: Trie): string => {
    const known = [...node.children].map(([character, child]) => `${literal(character)} ${ruleOf(child)}`);
    const others = `[^${notInKeys}${[...node.children.keys()].map(inClass).join("")}] ${anything}`;
    return rules.add("key", [...(node.isEnd ? [] : ['""']), ...known, others].join(" | "));
  };
  return rules.add(
    "key",
    `${literal('"')} ${root.children.size === 0 && !root.isEnd ? anything : ruleOf(root)} ${literal('"')}`,
  );
}

function insert(root: Trie, name: string): void {
  let node = root;
  for (const character of name) {
    const child: Trie = node.children.get(character) ?? { isEnd: false, children: new Map() };
    node.children.set(character, child);
    node = child;
  }
  node.isEnd = true;
}

function inClass(character: string): string {
  return `\\U${(character.codePointAt(0) ?? 0).toString(16).padStart(8, "0")}`;
}
