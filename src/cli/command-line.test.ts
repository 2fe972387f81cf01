import assert from "node:assert/strict";
import { test } from "node:test";
import { commandLine } from "./command-line.js";

test("a command line can be typed again, and says nothing of where files lay", () => {
  assert.equal(
    commandLine(["make", "/home/me/my models/a b.gguf", "-o", "../out", "--bpw", "2.99", "it's"]),
    "lopsided make 'a b.gguf' -o out --bpw 2.99 'it'\\''s'",
  );
  assert.equal(
    commandLine(["make", "https://name:secret@host/a.gguf?key=secret", "--calibration=/home/me/text.txt"]),
    "lopsided make https://host/a.gguf --calibration=text.txt",
  );
  assert.equal(
    commandLine(["make", "a.gguf", "--token", "secret", "--no-local", "--token=secret"]),
    "lopsided make a.gguf --no-local",
  );
  assert.equal(
    commandLine(["make", "--evaluate", "code=/home/me/a.txt", "--evaluate=prose=../b.txt"]),
    "lopsided make --evaluate code=a.txt --evaluate=prose=b.txt",
  );
  assert.equal(
    commandLine(["make", "hf://a/b/c.gguf", "--memory", "16GB GPU"]).includes("hf://a/b/c.gguf"),
    true,
  );
});
