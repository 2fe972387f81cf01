import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fixture, lopsided } from "../testing/command.js";
import { FileServer } from "../testing/file-server.js";
import { serveHub } from "../testing/hub.js";
import { temporaryFolder } from "../testing/temporary.js";

const text = fixture("text/calibration.txt");

describe("a command that waits for a server", () => {
  const commands: readonly (readonly string[])[] = [
    ["inspect", "MODEL"],
    ["fit", "MODEL"],
    ["plan", "MODEL", "--bpw", "3", "-o", "FOLDER/r.yaml"],
    ["quantize", "MODEL", "FOLDER/out.gguf", "--recipe", "Q8_0"],
    ["verify", "MODEL"],
    ["verify", fixture("tiny-moe-q8_0.gguf"), "--source", "MODEL"],
    ["make", "MODEL", "-o", "FOLDER/made", "--calibration", text],
    ["convert", "hf://some-one/model", "FOLDER/out.gguf", "--type", "F16"],
    ["inspect", "hf://some-one/model/x.gguf"],
  ];
  for (const [index, command] of commands.entries()) {
    const signal = index % 2 === 0 ? "SIGINT" : "SIGTERM";
    it(`stops on ${signal}: ${command[0]} ${command[1]}`, async (t) => {
      const folder = await temporaryFolder(t);
      const server = await FileServer.start(t);
      server.fault = () => "stall";
      process.env.HF_ENDPOINT = server.address;
      t.after(() => delete process.env.HF_ENDPOINT);
      const args = command.map((word) =>
        word.replace("MODEL", `${server.address}/m.gguf`).replace("FOLDER", folder),
      );
      const when = () => server.requests.length > 0;
      const { status, stderr } = await lopsided(args, { signal, when });
      assert.equal(status, 130, stderr);
      assert.match(stderr, /stopped/);
    });
  }
});

describe("a password in an address", () => {
  const commands: readonly (readonly string[])[] = [
    ["inspect", "MODEL"],
    ["inspect", "MODEL", "--json"],
    ["fit", "MODEL", "--json"],
    ["fit", "MODEL", "--no-library"],
    ["verify", "MODEL", "--json"],
    ["quantize", "MODEL", "FOLDER/out.gguf", "--recipe", "Q8_0", "--allow-requantize", "--json"],
  ];

  it("that follows a question mark is used and not repeated", async (t) => {
    const server = await FileServer.start(t, { "/m.gguf": await readFile(fixture("tiny-moe-q8_0.gguf")) });
    const model = `${server.address}/m.gguf?key=secret`;
    for (const command of commands) {
      const folder = await temporaryFolder(t);
      const args = command.map((word) => word.replace("MODEL", model).replace("FOLDER", folder));
      const { status, stdout, stderr } = await lopsided(args);
      assert.equal(status, 0, `${command.join(" ")}: ${stderr}`);
      assert.doesNotMatch(stdout + stderr, /secret/, command.join(" "));
      for (const file of await readdir(folder)) {
        assert.ok(!(await readFile(join(folder, file))).includes("secret"), `${command[0]}: ${file}`);
      }
    }
    assert.ok(server.requests.every(({ query }) => query === "?key=secret"));
  });

  const wrong = [
    "https://name:secret@127.0.0.1:1/m.gguf",
    "http://name:secret@[/m.gguf",
    "http://name:sec/secret@host/m.gguf",
    "ftp://name:secret@host/m.gguf",
    "HTTPS://secret@127.0.0.1:1/m.gguf?secret",
    "hf://name:secret@owner/x",
    "s3://key:secret@bucket/m.gguf",
  ];
  const others: readonly (readonly string[])[] = [
    ["verify", "MODEL"],
    ["quantize", "MODEL", "FOLDER/out.gguf", "--recipe", "Q8_0"],
    ["convert", "MODEL", "FOLDER/out.gguf", "--type", "F16"],
    ["perplexity", "MODEL", text],
    ["imatrix", "MODEL", text, "-o", "FOLDER/i.gguf"],
    ["sensitivity", "MODEL", text, "-o", "FOLDER/s.json"],
    ["check", "MODEL"],
    ["generate", "MODEL", text, "-o", "FOLDER/g.jsonl"],
    ["make", "MODEL", "-o", "FOLDER/made", "--calibration", text],
  ];
  for (const command of [["inspect", "MODEL"], ["fit", "MODEL", "--json"], ...others]) {
    it(`that is wrong is not repeated in the error either: ${command[0]}`, async (t) => {
      const folder = await temporaryFolder(t);
      for (const model of command[0] === "inspect" ? wrong : wrong.slice(0, 1)) {
        const args = command.map((word) => word.replace("MODEL", model).replace("FOLDER", folder));
        const { status, stdout, stderr } = await lopsided(args);
        assert.ok(status === 1 || status === 2, `${command.join(" ")}: ${stdout}${stderr}`);
        assert.doesNotMatch(stdout + stderr, /secret/, `${command.join(" ")} ${model}`);
      }
    });
  }

  it("of a repository's server is not repeated", async (t) => {
    const server = await FileServer.start(t);
    serveHub(server, { repository: "a/b", commit: "c".repeat(40), revisions: ["main"], files: {} });
    process.env.HF_ENDPOINT = server.address.replace("//", "//name:secret@");
    t.after(() => delete process.env.HF_ENDPOINT);
    const { status, stderr } = await lopsided(["inspect", "hf://a/b"]);
    assert.equal(status, 2);
    assert.doesNotMatch(stderr, /secret/);
  });
});
