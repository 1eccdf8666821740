// Types of the @std functions that are used here: their npm build ships none. Moving to JSR, which
// does, makes this file and its line in deno.json superfluous.

declare module "@std/assert" {
  export function assert(condition: unknown, message?: string): asserts condition;
  export function assertEquals<T>(actual: T, expected: T, message?: string): void;
  export function assertNotEquals<T>(actual: T, expected: T, message?: string): void;
  export function assertGreater(actual: number, expected: number, message?: string): void;
  export function assertGreaterOrEqual(actual: number, expected: number, message?: string): void;
  export function assertLess(actual: number, expected: number, message?: string): void;
  export function assertLessOrEqual(actual: number, expected: number, message?: string): void;
  export function assertMatch(actual: string, expected: RegExp, message?: string): void;
  export function assertStringIncludes(actual: string, expected: string, message?: string): void;
  export function assertInstanceOf<T>(
    actual: unknown,
    // deno-lint-ignore no-explicit-any
    type: abstract new (...args: any[]) => T,
    message?: string,
  ): asserts actual is T;
  export function assertThrows<E extends Error>(
    run: () => unknown,
    // deno-lint-ignore no-explicit-any
    type?: abstract new (...args: any[]) => E,
    includes?: string,
    message?: string,
  ): E;
  export function assertRejects<E extends Error>(
    run: () => PromiseLike<unknown>,
    // deno-lint-ignore no-explicit-any
    type?: abstract new (...args: any[]) => E,
    includes?: string,
    message?: string,
  ): Promise<E>;
}

declare module "@std/fmt/bytes" {
  /** The size for readers, such as `1.5 MiB`. */
  export function format(bytes: number, options?: { binary?: boolean }): string;
}

declare module "@std/fmt/colors" {
  type Style = (text: string) => string;
  export const bold: Style, dim: Style, red: Style, green: Style, yellow: Style, blue: Style;
  export const magenta: Style, cyan: Style, gray: Style, brightBlue: Style;
  export function setColorEnabled(enabled: boolean): void;
}

declare module "@std/fs" {
  export function copy(source: string, target: string): Promise<void>;
  export function exists(path: string): Promise<boolean>;
}

declare module "@std/http/status" {
  export const STATUS_CODE: {
    readonly OK: 200;
    readonly BadRequest: 400;
    readonly Forbidden: 403;
    readonly NotFound: 404;
    readonly MethodNotAllowed: 405;
    readonly RequestTimeout: 408;
    readonly Conflict: 409;
    readonly ContentTooLarge: 413;
    readonly InternalServerError: 500;
    readonly ServiceUnavailable: 503;
    readonly InsufficientStorage: 507;
  };
}

declare module "@std/path" {
  export function basename(path: string): string;
  export function dirname(path: string): string;
  export function fromFileUrl(url: string | URL): string;
  export function isAbsolute(path: string): boolean;
  export function join(...paths: string[]): string;
  export function normalize(path: string): string;
  export function relative(from: string, to: string): string;
  export function resolve(...paths: string[]): string;
}

declare module "@std/streams/text-line-stream" {
  /** Cuts text into lines at `\n` or `\r\n`. */
  export class TextLineStream extends TransformStream<string, string> {}
}
