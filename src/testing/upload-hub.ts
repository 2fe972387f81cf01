/** The part of the Hugging Face Hub's interface that uploads use, on the loopback interface. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { sha256 } from "./file-server.js";

/** Files from this size on go to large storage, in parts of `partBytes` from `multipartBytes` on. */
const largeBytes = 1000;
const multipartBytes = 5000;
const partBytes = 2048;

interface Branch {
  readonly files: Map<string, Buffer>;
  title: string;
}

export interface UploadRepository {
  readonly visibility: string | undefined;
  readonly branches: Map<string, Branch>;
}

export class UploadHub {
  readonly repositories = new Map<string, UploadRepository>();
  /** Method and path of every request. */
  readonly requests: string[] = [];
  /** Requests to storage that carried a token: there must be none. */
  leakedTokens = 0;
  /** Answers a request with this status instead. */
  fault: (request: string, index: number) => number | undefined = () => undefined;
  /** Large files by SHA-256. */
  readonly #storage = new Map<string, Buffer>();
  readonly #parts = new Map<string, Buffer>();
  readonly #server = createServer((request, response) => {
    void this.#answer(request, response).catch((error) => response.writeHead(500).end(String(error)));
  });

  readonly #token: string;

  private constructor(token: string) {
    this.#token = token;
  }

  /** Starts a hub that ends with the test `t` and lets in whoever has the token. */
  static async start(t: { after(cleanUp: () => Promise<void>): void }, token: string): Promise<UploadHub> {
    const hub = new UploadHub(token);
    await new Promise<void>((resolve) => hub.#server.listen(0, "127.0.0.1", resolve));
    t.after(async () => {
      hub.#server.closeAllConnections();
      await new Promise((resolve) => hub.#server.close(resolve));
    });
    return hub;
  }

  get address(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<unknown> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) {
      chunks.push(chunk as Buffer);
    }
    const body = Buffer.concat(chunks);
    const path = decodeURIComponent(new URL(request.url ?? "/", this.address).pathname);
    const line = `${request.method} ${path}`;
    const status = this.fault(line, this.requests.length);
    this.requests.push(line);
    const send = (code: number, value: unknown = {}, headers: Record<string, string> = {}) =>
      response.writeHead(code, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
    if (status !== undefined) {
      return send(status, { error: "as the test wants" });
    }
    if (path.startsWith("/storage/")) {
      if (request.headers.authorization !== undefined) {
        this.leakedTokens++;
      }
      return this.#store(path, body, send);
    }
    if (request.headers.authorization !== `Bearer ${this.#token}`) {
      return send(401, { error: "Invalid credentials" });
    }
    return this.#call(path, body, send);
  }

  #store(path: string, body: Buffer, send: Send): unknown {
    const [, , kind, oid = "", part] = path.split("/");
    if (kind === "basic") {
      this.#keep(oid, body);
    } else if (kind === "part") {
      this.#parts.set(`${oid}/${part}`, body);
    } else {
      const { parts } = JSON.parse(body.toString()) as { parts: { partNumber: number; etag: string }[] };
      if (parts.some(({ partNumber, etag }) => etag !== `"part-${partNumber}"`)) {
        return send(400);
      }
      this.#keep(oid, Buffer.concat(parts.map(({ partNumber }) => this.#parts.get(`${oid}/${partNumber}`)!)));
    }
    return send(200, {}, kind === "part" ? { etag: `"part-${part}"` } : {});
  }

  #keep(oid: string, bytes: Buffer): void {
    if (sha256(bytes) !== oid) {
      throw new Error(`${oid} is not the checksum of what came`);
    }
    this.#storage.set(oid, bytes);
  }

  #call(path: string, body: Buffer, send: Send): unknown {
    if (path === "/api/repos/create") {
      return this.#create(JSON.parse(body.toString()), send);
    }
    const [, name = "", action, revision = ""] =
      /^\/(?:api\/models\/)?([^/]+\/[^/]+?)(?:\.git\/info\/lfs\/objects)?\/(branch|preupload|batch|commit)(?:\/(.*))?$/.exec(
        path,
      ) ?? [];
    const repository = this.repositories.get(name);
    if (repository === undefined) {
      return send(404, { error: "Repository not found" });
    }
    if (action === "batch") {
      return send(200, this.#batch(JSON.parse(body.toString())));
    }
    if (action === "branch") {
      if (repository.branches.has(revision)) {
        return send(409, { error: "Reference already exists" });
      }
      repository.branches.set(revision, { files: new Map(), title: "" });
      return send(200);
    }
    const branch = repository.branches.get(revision);
    if (branch === undefined) {
      return send(404, { error: "Invalid rev id" });
    }
    if (action === "preupload") {
      const { files } = JSON.parse(body.toString()) as { files: { path: string; size: number }[] };
      const modes = files.map(({ path, size }) => ({
        path,
        uploadMode: size >= largeBytes ? "lfs" : "regular",
      }));
      return send(200, { files: modes });
    }
    return this.#commit(branch, body.toString(), send);
  }

  #create({ name, organization, visibility }: Record<string, string>, send: Send): unknown {
    const full = `${organization}/${name}`;
    if (this.repositories.has(full)) {
      return send(409, { error: "You already created this model repo" });
    }
    const branches = new Map([["main", { files: new Map<string, Buffer>(), title: "" }]]);
    this.repositories.set(full, { visibility, branches });
    return send(200, { url: `${this.address}/${full}`, id: full });
  }

  #batch({ objects }: { objects: { oid: string; size: number }[] }) {
    return {
      transfer: "multipart",
      objects: objects.map(({ oid, size }) => {
        if (this.#storage.has(oid)) {
          return { oid, size };
        }
        const storage = `${this.address}/storage`;
        if (size < multipartBytes) {
          return { oid, size, actions: { upload: { href: `${storage}/basic/${oid}` } } };
        }
        const count = Math.ceil(size / partBytes);
        const parts = Array.from({ length: count }, (_, i) => [
          String(i + 1).padStart(5, "0"),
          `${storage}/part/${oid}/${i + 1}`,
        ]);
        const header = { chunk_size: String(partBytes), ...Object.fromEntries(parts) };
        return { oid, size, actions: { upload: { href: `${storage}/complete/${oid}`, header } } };
      }),
    };
  }

  #commit(branch: Branch, body: string, send: Send): unknown {
    for (const line of body.split("\n")) {
      const { key, value } = JSON.parse(line) as { key: string; value: Record<string, string> };
      if (key === "header") {
        branch.title = value.summary ?? "";
      } else if (key === "file") {
        branch.files.set(value.path!, Buffer.from(value.content!, "base64"));
      } else {
        branch.files.set(value.path!, this.#storage.get(value.oid!)!);
      }
    }
    return send(200, { commitOid: "c".repeat(40), commitUrl: `${this.address}/commit`, hookOutput: "" });
  }
}

type Send = (status: number, value?: unknown, headers?: Record<string, string>) => unknown;
