import assert from "node:assert/strict";
import { test } from "node:test";
import { AnswerText } from "./answer-text.js";

const bytes = (text: string) => new TextEncoder().encode(text);

/** Adds a text in pieces of so many bytes; gives what came out piece by piece. */
function addInPieces(text: string, size: number, stops: string[] = []) {
  const answer = new AnswerText(stops);
  const all = bytes(text);
  const given: string[] = [];
  for (let at = 0; at < all.length; at += size) {
    const { text: piece, isStopped } = answer.add(all.subarray(at, at + size));
    given.push(piece);
    if (isStopped) {
      return { given, text: given.join(""), isStopped, answer };
    }
  }
  const rest = answer.end();
  given.push(rest.text);
  return { given, text: given.join(""), isStopped: rest.isStopped, answer };
}

test("characters that several tokens share come out whole, however they are cut", () => {
  const text = "naïve 日本 👩‍👩‍👧 \uFEFFend";
  for (let size = 1; size <= 12; size++) {
    const { given } = addInPieces(text, size);
    assert.equal(given.join(""), text);
    assert.ok(given.every((piece) => !piece.includes("\uFFFD")));
  }
});

test("a stop string is found wherever it is cut, and the text ends before it", () => {
  for (let size = 1; size <= 12; size++) {
    for (const stops of [["\n\nUser:"], ["zzz", "User:", "\n\nUser:"]]) {
      const { text, isStopped } = addInPieces("The answer is 5.\n\nUser: more", size, stops);
      assert.equal(isStopped, true);
      assert.equal(text, "The answer is 5.");
    }
  }
});

test("what may begin a stop string is held back until it is certain", () => {
  const { given, text } = addInPieces("a ST b STO c STOP", 1, ["STOP"]);
  assert.equal(text, "a ST b STO c ");
  assert.ok(
    given.every(
      (_, index) =>
        !given
          .slice(0, index + 1)
          .join("")
          .endsWith("S"),
    ),
  );
});

test("text held back comes out at the end", () => {
  assert.equal(addInPieces("all of it STO", 1, ["STOP"]).text, "all of it STO");
});

test("an incomplete character at the end becomes a replacement character", () => {
  const answer = new AnswerText();
  assert.equal(answer.add(bytes("é").subarray(0, 1)).text, "");
  assert.equal(answer.end().text, "\uFFFD");
});

test("it counts what was added and what was given out", () => {
  const answer = new AnswerText(["STOP"]);
  answer.add(bytes("one ST"));
  assert.deepEqual([answer.decodedLength, answer.givenLength], [6, 4]);
  answer.add(bytes("OP two"));
  assert.deepEqual([answer.decodedLength, answer.givenLength], [12, 4]);
});
