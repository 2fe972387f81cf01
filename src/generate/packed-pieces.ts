/**
 * The pieces of a batch on their way between the processes. A batch of a small model takes a millisecond or two, and
 * cloning an object per answer would be several percent of it; lists of numbers and texts are nearly free.
 */
import type { AnswerPiece } from "./request.js";

/** A piece and the number of its request. */
export interface NumberedPiece {
  readonly id: number;
  readonly piece: AnswerPiece;
}

export interface PackedPieces {
  readonly type: "pieces";
  /** Of each piece: its request, its text, and its token or -1. */
  readonly ids: readonly number[];
  readonly texts: readonly string[];
  readonly tokens: readonly number[];
  /** What only some pieces have, with their index. */
  readonly details: readonly { readonly index: number; readonly piece: AnswerPiece }[];
}

export function packPieces(pieces: readonly NumberedPiece[]): PackedPieces {
  return {
    type: "pieces",
    ids: pieces.map(({ id }) => id),
    texts: pieces.map(({ piece }) => piece.text),
    tokens: pieces.map(({ piece }) => piece.tokens[0] ?? -1),
    details: pieces.flatMap(({ piece }, index) =>
      piece.finish || piece.logprobs.length > 0 || piece.tokens.length > 1 ? [{ index, piece }] : [],
    ),
  };
}

export function unpackPieces({ ids, texts, tokens, details }: PackedPieces): NumberedPiece[] {
  const detailed = new Map(details.map(({ index, piece }) => [index, piece]));
  return ids.map((id, index) => {
    const token = tokens[index] ?? -1;
    const plain = { text: texts[index] ?? "", tokens: token < 0 ? [] : [token], logprobs: [] };
    return { id, piece: detailed.get(index) ?? plain };
  });
}
