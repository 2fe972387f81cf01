import assert from "node:assert/strict";
import { execFile as execFileCallback } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

// The documentation against the tree: links lead somewhere, commands and options exist, pictures are shown, tables
// are those of the kept runs, the package has what it links to.

const execFile = promisify(execFileCallback);
const root = fileURLToPath(new URL("..", import.meta.url));
const main = fileURLToPath(new URL("cli/main.js", import.meta.url));

const documents = [
  ...readdirSync(root).filter((name) => name.endsWith(".md")),
  ...["docs", "bench"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".md") && !name.startsWith("."))
      .map((name) => `${folder}/${name}`.replaceAll("\\", "/")),
  ),
];
const text = (document: string) => readFileSync(join(root, document), "utf8");
const fences = /^```(\w*)\n(.*?)^```$/gms;
const prose = (document: string) =>
  text(document)
    .replace(fences, "")
    .replace(/`[^`\n]*`/g, "`code`");

/** Targets of links and pictures, with the file that they lead to. */
function linksOf(document: string) {
  return [...prose(document).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = ""]) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [path = "", anchor] = target.split("#");
      const file = path === "" ? document : normalize(join(dirname(document), path)).replaceAll("\\", "/");
      return { target, file, anchor };
    });
}

/** Names of a page's headings as GitHub makes them. */
function anchorsOf(document: string): string[] {
  return [
    ...text(document)
      .replace(fences, "")
      .matchAll(/^#+ (.*)$/gm),
  ].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

/** Lines of shell in a document, continued ones joined. */
function shellLines(document: string): string[] {
  return [...text(document).matchAll(fences)]
    .filter(([, language]) => language === "sh")
    .flatMap(([, , code = ""]) => code.replace(/\\\n\s*/g, " ").split("\n"))
    .map((line) => line.replace(/(^|\s)#.*$/, "").trim())
    .filter((line) => line !== "");
}

describe("documentation", () => {
  it("has no link without a target", () => {
    const dead = documents.flatMap((document) =>
      linksOf(document)
        .filter(
          ({ file, anchor }) =>
            !existsSync(join(root, file)) || (anchor !== undefined && !anchorsOf(file).includes(anchor)),
        )
        .map(({ target }) => `${document}: ${target}`),
    );
    assert.deepEqual(dead, []);
  });

  it("shows every picture that lies in docs/", () => {
    const shown = new Set(documents.flatMap((document) => linksOf(document).map(({ file }) => file)));
    const pictures = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".png"));
    assert.deepEqual(
      pictures.filter((name) => !shown.has(`docs/${name}`)),
      [],
    );
  });

  it("leads from README to every page", () => {
    const reached = new Set(["README.md"]);
    for (const document of reached) {
      for (const { file } of linksOf(document).filter(({ file }) => file.endsWith(".md"))) {
        reached.add(file);
      }
    }
    assert.deepEqual(
      documents.filter((document) => !reached.has(document)),
      [],
    );
  });

  it("names npm scripts and files of the repository that exist", () => {
    const { scripts } = JSON.parse(text("package.json")) as { scripts: Record<string, string> };
    const missing = documents.flatMap((document) => {
      const all = text(document);
      const runs = [...all.matchAll(/npm run (?:-s )?([\w:-]+)/g)].map(([, name = ""]) => name);
      const files = [...all.matchAll(/node ((?:bench|scripts)\/[\w-]+\.mjs)/g)].map(([, path = ""]) => path);
      return [
        ...runs.filter((name) => !(name in scripts)),
        ...files.filter((path) => !existsSync(join(root, path))),
      ].map((name) => `${document}: ${name}`);
    });
    assert.deepEqual(missing, []);
  });

  it("shows commands and options that exist", async () => {
    const uses = documents.flatMap((document) =>
      shellLines(document).flatMap((line) => {
        const [, command, rest = ""] = /(?:^|\s)lopsided(?:\.tgz)? (?:-- )?([a-z]+)(.*)$/.exec(line) ?? [];
        return command === undefined ? [] : [{ document, line, command, rest }];
      }),
    );
    assert.ok(uses.length > 20);
    const helps = new Map<string, string>();
    for (const command of new Set(uses.map(({ command }) => command))) {
      const { stdout } = await execFile(process.execPath, [main, command, "--help"]);
      assert.match(stdout, new RegExp(`Usage: lopsided ${command}\\b`));
      helps.set(command, stdout);
    }
    const unknown = uses.flatMap(({ document, line, command, rest }) =>
      [...rest.matchAll(/(?<=\s)--?[a-z][a-z-]*/g)]
        .map(([option]) => option)
        .filter((option) => !new RegExp(`(^|[\\s,])${option}\\b(?!-)`).test(helps.get(command) ?? ""))
        .map((option) => `${document}: ${option} in ${line}`),
    );
    assert.deepEqual(unknown, []);
  });

  it("has the tables that the kept runs of the benches make", async () => {
    await execFile(process.execPath, [join(root, "bench/tables.mjs"), "--check"]);
  });

  it("is in the package as far as README links to it", () => {
    const { files } = JSON.parse(text("package.json")) as { files: string[] };
    const missing = linksOf("README.md")
      .map(({ file }) => file)
      .filter((file) => file !== "README.md") // npm always packs it
      .filter((file) => !files.some((entry) => file === entry || file.startsWith(`${entry}/`)));
    assert.deepEqual(missing, []);
  });
});
