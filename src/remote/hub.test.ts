import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FileServer, impatient, sha256 } from "../testing/file-server.js";
import { type HubModel, serveHub } from "../testing/hub.js";
import { trustTestCertificate } from "../testing/tls.js";
import { HubRepository } from "./hub.js";
import { parseHubAddress } from "./hub-address.js";

const commit = "0123456789abcdef0123456789abcdef01234567";
const large = new Uint8Array(20_000).fill(7);

const model: HubModel = {
  repository: "some-one/Tiny.Model",
  commit,
  revisions: ["main", "refs/pr/3"],
  files: {
    "config.json": Buffer.from("{}"),
    "model.safetensors": large,
    "README.md": Buffer.from("# hello"),
    "additional_chat_templates/tool.jinja": Buffer.from("{{ x }}"),
    "Q8_0/a b.gguf": large,
  },
};

async function served(t: Parameters<typeof FileServer.start>[0], changes: Partial<HubModel> = {}) {
  const server = await FileServer.start(t);
  serveHub(server, { ...model, ...changes });
  return { server, options: { endpoint: server.address, token: "", retry: impatient } };
}

describe("a repository of the hub", () => {
  it("is a folder of the commit that its revision stands for", async (t) => {
    const { server, options } = await served(t);
    const address = parseHubAddress("hf://some-one/Tiny.Model");
    const repository = await HubRepository.open(address, options);
    assert.equal(repository.name, "hf://some-one/Tiny.Model");
    assert.deepEqual(await repository.list(), ["README.md", "config.json", "model.safetensors"]);
    assert.deepEqual(await repository.list("additional_chat_templates"), ["tool.jinja"]);
    assert.deepEqual(await repository.list("missing"), []);
    assert.equal(await repository.open("missing.json"), undefined);
    assert.equal(await repository.open("missing/missing.json"), undefined);
    const template = await repository.open("additional_chat_templates/tool.jinja");
    assert.equal(Buffer.from((await template?.read(0, 7)) ?? []).toString(), "{{ x }}");
    const spaced = await repository.open("Q8_0/a b.gguf");
    assert.deepEqual(await spaced?.read(5, 3), Uint8Array.of(7, 7, 7));
    const files = server.requests.filter(({ path }) => path.includes("/resolve/"));
    assert.ok(files.every(({ path }) => path.startsWith(`/some-one/Tiny.Model/resolve/${commit}/`)));
  });

  it("has the checksum of what was read, and once of it is read in order nothing twice", async (t) => {
    const { server, options } = await served(t);
    const repository = await HubRepository.open(parseHubAddress("hf://some-one/Tiny.Model"), options);
    const [big, small] = [await repository.open("model.safetensors"), await repository.open("config.json")];
    assert.equal(big?.remote.claimedSha256, sha256(large));
    big?.remote.beginChecksum();
    await big?.read(0, large.length);
    assert.equal(await big?.remote.sha256(), sha256(large));
    assert.equal(server.bytesSent, large.length);
    assert.equal(small?.remote.claimedSha256, undefined);
    assert.equal(await small?.remote.sha256(), sha256(Buffer.from("{}")));
  });

  it("whose bytes are not those that it claims is refused", async (t) => {
    const { options } = await served(t, { claims: "0".repeat(64) });
    const repository = await HubRepository.open(parseHubAddress("hf://some-one/Tiny.Model"), options);
    const file = await repository.open("model.safetensors");
    file?.remote.beginChecksum();
    await file?.read(0, large.length);
    await assert.rejects(file?.remote.sha256() ?? Promise.resolve(), {
      name: "MalformedInputError",
      message: new RegExp(`has the SHA-256 ${sha256(large)}, but the server says 0{64}; `),
    });
  });

  it("whose list of files does not end is refused after a bounded number of pages", async (t) => {
    const { server, options } = await served(t, { endless: true });
    const repository = await HubRepository.open(parseHubAddress("hf://some-one/Tiny.Model"), options);
    await assert.rejects(repository.list(), {
      name: "EnvironmentError",
      message: /^hf:\/\/some-one\/Tiny\.Model: the hub's list of files does not end/,
    });
    assert.ok(server.requests.length < 1100, `${server.requests.length} requests`);
  });

  it("continues its list under an encrypted address if the first one was", async (t) => {
    trustTestCertificate(t);
    const server = await FileServer.start(t, {}, { isSecure: true });
    serveHub(server, model);
    const fault = server.fault;
    server.fault = (request) => {
      const answer = fault(request);
      const plain = { link: '<http://127.0.0.1:1/api?cursor=2>; rel="next"' };
      return typeof answer === "object" && request.path.includes("/tree/")
        ? { ...answer, headers: { ...answer.headers, ...plain } }
        : answer;
    };
    const options = { endpoint: server.address, token: "", retry: impatient };
    const repository = await HubRepository.open(parseHubAddress("hf://some-one/Tiny.Model"), options);
    await assert.rejects(repository.list(), {
      message: /continues its list at an address without encryption/,
    });
  });

  it("does not say the password in its own address", async () => {
    for (const endpoint of ["https://name:secret@host", "secret", "ftp://name:secret@host/?secret"]) {
      await assert.rejects(HubRepository.open(parseHubAddress("hf://a/b"), { endpoint }), (error: Error) => {
        return error.name === "UsageError" && (endpoint === "secret" || !error.message.includes("secret"));
      });
    }
  });

  it("is found by its revision, and refused under others", async (t) => {
    const { options } = await served(t);
    const open = (address: string) => HubRepository.open(parseHubAddress(address), options);
    assert.ok(await open("hf://some-one/Tiny.Model@refs/pr/3"));
    assert.ok(await open("hf://some-one/Tiny.Model@refs%2Fpr%2F3"));
    assert.ok(await open(`hf://some-one/Tiny.Model@${commit}`));
    await assert.rejects(open("hf://some-one/Tiny.Model@v2"), {
      name: "EnvironmentError",
      message: "hf://some-one/Tiny.Model@v2: does not exist (status 404); check the address.",
    });
  });

  it("that is private is read with a token, which no other server sees", async (t) => {
    const { server, options } = await served(t, { token: "hf_secret" });
    const address = parseHubAddress("hf://some-one/Tiny.Model");
    await assert.rejects(HubRepository.open(address, options), {
      name: "EnvironmentError",
      message: /: the server refuses access \(status 401\); if the model is private or gated, .* HF_TOKEN /,
    });
    const other = await FileServer.start(t, { "/cdn": large });
    const fault = server.fault;
    server.fault = (request) =>
      request.path.endsWith("/model.safetensors")
        ? { status: 302, headers: { location: `${other.address}/cdn` } }
        : fault(request);
    const repository = await HubRepository.open(address, { ...options, token: "hf_secret" });
    const source = await repository.open("model.safetensors");
    await source?.read(0, 10);
    await source?.read(10, 10);
    assert.deepEqual(
      other.requests.map(({ authorization }) => authorization),
      [undefined, undefined],
    );
  });

  it("that lists what lies elsewhere is refused", async (t) => {
    for (const path of ["../../etc/passwd", "/etc/passwd", "other/config.json", "a\\..\\b"]) {
      const { server, options } = await served(t);
      const fault = server.fault;
      server.fault = (request) =>
        request.path.includes("/tree/")
          ? { status: 200, body: JSON.stringify([{ type: "file", path, size: 5, oid: "1" }]) }
          : fault(request);
      const repository = await HubRepository.open(parseHubAddress("hf://some-one/Tiny.Model"), options);
      await assert.rejects(repository.list(), { name: "EnvironmentError", message: /: the hub lists "/ });
    }
  });

  it("of a server that is no hub is refused in one sentence", async (t) => {
    const server = await FileServer.start(t);
    server.fault = () => ({ status: 200, headers: { "content-type": "text/html" }, body: "<h1>hi</h1>" });
    const options = { endpoint: server.address, token: "", retry: impatient };
    await assert.rejects(HubRepository.open(parseHubAddress("hf://a/b"), options), {
      name: "EnvironmentError",
      message: /: the hub at http:.* gave an answer that cannot be understood /,
    });
    await assert.rejects(HubRepository.open(parseHubAddress("hf://a/b"), { endpoint: "nowhere" }), {
      name: "UsageError",
    });
  });
});

describe("an address of the hub", () => {
  it("has an owner, a repository, and perhaps a revision and a path", () => {
    const parse = parseHubAddress;
    assert.deepEqual(parse("hf://a/b"), { repository: "a/b", revision: undefined, path: undefined });
    assert.deepEqual(parse("hf://a/b@v1.0/c/d.gguf"), {
      repository: "a/b",
      revision: "v1.0",
      path: "c/d.gguf",
    });
    assert.deepEqual(parse("hf://a/b@x%2Fy"), { repository: "a/b", revision: "x/y", path: undefined });
  });

  it("that leads out of the repository, or is of another form, is refused", () => {
    const wrong = [
      "hf://a",
      "hf:///b",
      "hf://a/..",
      "hf://../b",
      "hf://a/b/../c.gguf",
      "hf://a/b//c.gguf",
      "hf://a/b@",
      "hf://a/b@%/c.gguf",
      "hf://a/b?x",
    ];
    for (const address of wrong) {
      assert.throws(() => parseHubAddress(address), {
        name: "UsageError",
        message: /is not of the form hf:/,
      });
    }
  });
});
