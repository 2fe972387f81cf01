/** The syntax tree that the parser of @huggingface/jinja makes, as far as it is looked at. */

export interface Node {
  readonly type: string;
}

export interface Identifier extends Node {
  readonly value: string;
}

/** What a node of some type has; the parser's own classes are not exported by its package. */
export interface Nodes {
  Program: { body: Node[] };
  If: { test: Node; body: Node[]; alternate: Node[] };
  For: { loopvar: Node; iterable: Node; body: Node[]; defaultBlock: Node[] };
  Set: { assignee: Node; value: Node | null; body: Node[] };
  Macro: { name: Identifier; args: Node[]; body: Node[] };
  CallStatement: { call: Nodes["CallExpression"]; callerArgs: Node[] | null; body: Node[] };
  FilterStatement: { filter: Node; body: Node[] };
  IntegerLiteral: { value: number };
  FloatLiteral: { value: number };
  StringLiteral: { value: string };
  ArrayLiteral: { value: Node[] };
  TupleLiteral: { value: Node[] };
  ObjectLiteral: { value: Map<Node, Node> };
  Identifier: { value: string };
  CallExpression: { callee: Node; args: Node[] };
  MemberExpression: { object: Node; property: Node; computed: boolean };
  SliceExpression: { start?: Node; stop?: Node; step?: Node };
  UnaryExpression: { operator: { value: string }; argument: Node };
  BinaryExpression: { operator: { value: string }; left: Node; right: Node };
  FilterExpression: { operand: Node; filter: Node };
  TestExpression: { operand: Node; negate: boolean; test: Identifier };
  SelectExpression: { lhs: Node; test: Node };
  Ternary: { condition: Node; trueExpr: Node; falseExpr: Node };
  KeywordArgumentExpression: { key: Identifier; value: Node };
  SpreadExpression: { argument: Node };
  KeywordSpreadExpression: { argument: Node };
}

/** The node as what its type says. */
export function as<Type extends keyof Nodes>(node: Node, _type: Type): Nodes[Type] {
  return node as unknown as Nodes[Type];
}
