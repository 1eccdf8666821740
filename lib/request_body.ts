/**
 * Reads the bodies of requests, within bounds on their size and on what those that are on their way
 * take together.
 *
 * Deno reads a body in one go, which is the fast way, and reserves at once what its head announces:
 * a client could make a server reserve 1 MiB by sending a line. So that is done for small ones. A
 * large one, or one that does not say plainly how large it is, is taken piece by piece and has a
 * deadline.
 *
 * @module
 */
import { isUtf8 } from "node:buffer";
import { STATUS_CODE } from "@std/http/status";
import { BadRequestError } from "./api_request.ts";
import { ByteWriter } from "./byte_writer.ts";
import type { Clock } from "./clock.ts";
import { errorMessage } from "./error_message.ts";
import { UnavailableError } from "./key_value.ts";
import {
  BODY_BYTES_MAX,
  BODY_TIMEOUT_MS,
  LARGE_BODIES_BYTES_MAX,
  SMALL_BODY_BYTES_MAX,
} from "./limits.ts";
import { decodeUtf8 } from "./utf8.ts";

type BodyStreamReader = ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;

/** The bodies of the requests to one server. */
export class RequestBodies {
  readonly #clock: Clock;
  /** Bytes of large bodies that are not there whole. */
  #largeBytes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Reads the body of `request` as text, and never more of it than `BODY_BYTES_MAX` and a piece.
   *
   * @throws {BadRequestError} It is too large, not UTF-8, does not arrive whole, or too slowly.
   * @throws {UnavailableError} Too much of others is on its way.
   */
  read(request: Request): Promise<string> {
    const length = request.headers.get("content-length");
    // Not a number, which no comparison holds for, if the header is there twice: "20, 20".
    const bytes = length === null ? NaN : Number(length);
    if (bytes <= SMALL_BODY_BYTES_MAX) return request.bytes().then(decode, broken);
    if (bytes > BODY_BYTES_MAX) return Promise.reject(tooLarge(`${length} bytes`));
    return this.#readLarge(request).then(decode);
  }

  async #readLarge(request: Request): Promise<Uint8Array> {
    const body = new ByteWriter();
    if (request.body === null) return body.written();
    const reader = request.body.getReader();
    let late = false;
    const cancel = this.#clock.after(BODY_TIMEOUT_MS, () => {
      late = true;
      letGo(reader);
    });
    try {
      await this.#readPieces(reader, body);
      if (late) throw tooLate(); // to let go of it looks like its end
      return body.written();
    } catch (error) {
      letGo(reader);
      throw error;
    } finally {
      cancel();
      this.#largeBytes -= body.length;
    }
  }

  async #readPieces(reader: BodyStreamReader, body: ByteWriter): Promise<void> {
    for (;;) {
      const { value: piece } = await reader.read().catch(broken);
      if (piece === undefined) return;
      if (body.length + piece.length > BODY_BYTES_MAX) {
        throw tooLarge(`more than ${BODY_BYTES_MAX} bytes`);
      }
      if (this.#largeBytes + piece.length > LARGE_BODIES_BYTES_MAX) {
        throw new UnavailableError(
          `Too many large bodies arrive at once: ${this.#largeBytes} bytes of them are there`,
        );
      }
      body.bytes(piece);
      this.#largeBytes += piece.length;
    }
  }
}

/** Reads no more of a body. */
function letGo(reader: BodyStreamReader): void {
  reader.cancel().catch(() => {}); // it has ended already
}

/** Strict: `request.text()` would put U+FFFD for what is not UTF-8, and that would be stored. */
function decode(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) throw new BadRequestError("Body is not UTF-8, expected JSON in UTF-8");
  return decodeUtf8(bytes);
}

function tooLarge(was: string): BadRequestError {
  return new BadRequestError(
    `Body has ${was}, expected at most ${BODY_BYTES_MAX}`,
    STATUS_CODE.ContentTooLarge,
  );
}

function tooLate(): BadRequestError {
  return new BadRequestError(
    `Body did not arrive whole within ${BODY_TIMEOUT_MS} ms`,
    STATUS_CODE.RequestTimeout,
  );
}

function broken(cause: unknown): never {
  throw new BadRequestError(`Body did not arrive whole: ${errorMessage(cause)}`);
}
