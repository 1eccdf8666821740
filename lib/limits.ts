/**
 * The bounds of the system, with their units: how large, how many and how long things may be before
 * they are refused, closed or let go, and what paces the work on the disk. A bound that a client
 * can meet is named in the README's table of limits as well.
 *
 * Not here: what a config file may say, see `config.ts`, and constants of a single format or
 * algorithm, which stand beside it.
 *
 * @module
 */

/** Client id, in UTF-8 bytes, at least 1. */
export const CLIENT_BYTES_MAX = 255;
/** Key, in UTF-8 bytes, at least 1. */
export const KEY_BYTES_MAX = 64 * 1024;
/** Body of one HTTP request, in bytes. Bounds the value as well. */
export const BODY_BYTES_MAX = 1024 * 1024;
/** A body up to here is read in one go, and may take its time; in bytes. */
export const SMALL_BODY_BYTES_MAX = 16 * 1024;
/** How long a larger body may take, or one that does not say how large it is, in milliseconds. */
export const BODY_TIMEOUT_MS = 30_000;
/** Bytes of such bodies that a server takes before it refuses what goes beyond. */
export const LARGE_BODIES_BYTES_MAX = 64 * 1024 * 1024;
/** Sequence numbers run from 1 to here: the integers that a JSON number carries exactly. */
export const SEQ_MAX = Number.MAX_SAFE_INTEGER;

/** One encoded command, in bytes: a JSON body is never shorter than the command that it spells. */
export const COMMAND_BYTES_MAX = BODY_BYTES_MAX;
/** One frame on a link, in bytes without its length field: a command or a value and a header. */
export const LINK_FRAME_BYTES_MAX = BODY_BYTES_MAX + 1024;
/** Unsent bytes at the node's end of a link, above which it reads no more requests there. */
export const LINK_BACKLOG_BYTES_MAX = 8 * 1024 * 1024;

/** Requests that may wait for one node in the router; one more is refused at once. */
export const WAITING_PER_NODE_MAX = 4096;
/**
 * Length of their keys and values together, in UTF-16 units, above which one more is refused. A
 * unit takes one or two bytes of memory.
 */
export const WAITING_TEXT_PER_NODE_MAX = 8 * 1024 * 1024;
/**
 * Unsent bytes at the router's end of a link, above which one more request is refused. Those of
 * requests that were given up count as well.
 */
export const UNSENT_PER_NODE_BYTES_MAX = 64 * 1024 * 1024;
/** Writes that may wait for the log of a node; one more is refused at once. */
export const WAITING_WRITES_MAX = 4096;
/** Bytes of commands that may wait for the log of a node; so much can stand in one batch. */
export const WAITING_WRITE_BYTES_MAX = 8 * 1024 * 1024;

/** Bytes of answers to writes after which the event loop gets a turn, in which some are sent. */
export const ANSWER_BYTES_PER_TURN = 8 * 1024 * 1024;
/**
 * How long a node then waits for links with more than `LINK_BACKLOG_BYTES_MAX` unsent, for all at
 * the same time, in milliseconds; and again, as long as they take bytes.
 */
export const ANSWER_WAIT_MS = 100;
/**
 * Bytes that such a link has to take in each of these milliseconds. One that takes fewer ends: what
 * is unsent is still sent for `DRAIN_MS` at most, and the router asks for the rest on its next link.
 */
export const ANSWER_BYTES_PER_MS_MIN = 10 * 1024;

/** How long the router tries to have a request answered, in milliseconds. */
export const REQUEST_TIMEOUT_MS = 5000;
/** How long the router waits for the health or the metrics of a node, in milliseconds. */
export const PROBE_TIMEOUT_MS = 500;
/** How long the router waits for a node to accept a connection, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 2000;
/** Delay before the router opens a broken link again, in milliseconds: first and longest. */
export const RECONNECT_MS_MIN = 20;
export const RECONNECT_MS_MAX = 100;

/**
 * Links a node serves. When one more connects, the oldest without a hello is closed; if there is
 * none, the one that has been silent for longest, if for more than `REQUEST_TIMEOUT_MS`; else the
 * new one is.
 */
export const LINKS_MAX = 64;
/** How long a link may take until it has said its hello, in milliseconds. */
export const HELLO_TIMEOUT_MS = 5000;
/** Delay before a listener that cannot accept connections tries again, in milliseconds. */
export const ACCEPT_RETRY_MS = 100;
/** Minimum interval between two reports of that, in milliseconds. */
export const ACCEPT_FAILURE_REPORT_MS = 60_000;

/**
 * How long a shutdown waits for its peers, in milliseconds; and how long a link that ends stays open
 * for what is unsent: answers, or why it ends.
 */
export const DRAIN_MS = 2000;

/** How long a node whose disk is full refuses writes before it tries again, in milliseconds. */
export const DISK_RETRY_MS = 200;

/**
 * What a node may be told to take for its store and sessions, in bytes (`--memory-max`): no less
 * than the sessions alone may need at worst, and a little for the store; no more than the table of
 * the store can address.
 */
export const MEMORY_BYTES_MIN = 384 * 1024 * 1024;
export const MEMORY_BYTES_MAX = 32 * 1024 * 1024 * 1024;

/** Segment of the log, in bytes: a frame that would pass it starts the next segment. */
export const SEGMENT_BYTES = 64 * 1024 * 1024;
/** Bytes of zeros that are written and made durable ahead of the frames in a segment. */
export const FILL_BYTES = 1024 * 1024;

/**
 * Growth of the log, in bytes, after which a snapshot is taken; if the last snapshot is larger, its
 * size. A restart replays so much in about half a second.
 */
export const SNAPSHOT_GROWTH_BYTES_MIN = 24 * 1024 * 1024;
/** Body of a frame in a snapshot, in bytes: the frame ends with the entry that reaches it. */
export const SNAPSHOT_FRAME_BYTES = 256 * 1024;
/** Bytes of a snapshot between two syncs: so few do not keep the syncs of the log waiting. */
export const SNAPSHOT_SYNC_BYTES = 1024 * 1024;

/** Bytes of a large file that are given back to the file system at once. */
export const REMOVE_PIECE_BYTES = 4 * 1024 * 1024;

/** How long an idle snapshot thread, which holds a copy of the store, is kept, in milliseconds. */
export const SNAPSHOT_THREAD_IDLE_MS = 20_000;

/** Sequence numbers that a session remembers, counted down from the highest one it has seen. */
export const SESSION_WINDOW = 1024;
/** Sessions that a node remembers; the one idle for longest (in log order) goes first. */
export const SESSIONS_MAX = 100_000;
/** Bytes of remembered results past which a client's older `prevValue`s are let go. */
export const SESSION_BYTES_SOFT_MAX = 64 * 1024 * 1024;
/**
 * Bytes of remembered results past which the clients that have been idle for longest lose theirs,
 * the values first; their older writes are then refused as stale. 100,000 clients without any
 * result take at most 60 MiB of it. What all may reserve, garbage included: see
 * `node/admission.ts`.
 */
export const SESSION_BYTES_MAX = 128 * 1024 * 1024;
