// Which requests nginx may answer alone: those with a signed link of ours (web/links.py, lib/signing.py) for a file that
// is there, in the simple form that browsers send. All others are the Library Server's.

import crypto from 'crypto';
import fs from 'fs';

// Written with care for what each step costs: njs makes a new world for every request.
const PATH = /^(?:\/[^\x00-\x1f\x7f\\:\/.][^\x00-\x1f\x7f\\:\/]*)+$/; // nothing hidden, no control characters
const END_AND_SIGNATURE = /^[0-9]{1,12} [0-9a-f]{64}$/;
const HEX_DIGITS = 64, DIGEST_BYTES = 32;
const ONE_RANGE = /^bytes=(?:([0-9]{1,15})-([0-9]{0,15})|-([0-9]{1,15}))$/;

function check(r) {
    try {
        return isPlain(r) && isSigned(r) && isEasilySent(r) ? 'good' : '';
    } catch (e) {
        return ''; // no such file, or a URL that is not UTF-8
    }
}

// nginx has cleaned r.uri: of several spellings of a path, only the plain one is taken here.
function isPlain(r) {
    const target = r.variables.request_uri, sent = target.slice(0, target.indexOf('?'));
    const isClean = sent === r.uri || decodeURIComponent(sent) === r.uri;
    return (r.method === 'GET' || r.method === 'HEAD') && isClean && PATH.test(r.uri);
}

function isSigned(r) {
    const expires = r.args.expires, signature = r.args.signature;
    // One that is missing or given twice (an array) does not fit. A link for editors is left to the Library Server.
    if (!END_AND_SIGNATURE.test(expires + ' ' + signature) || r.args.audience !== undefined) {
        return false;
    }
    // An empty key must not sign anything.
    if (library_link_key.length !== HEX_DIGITS || Number(expires) <= Date.now() / 1000) {
        return false;
    }
    const text = 'all\n' + expires + '\n' + r.uri.slice('/content/'.length);
    const right = crypto.createHmac('sha256', library_link_key).update(text).digest();
    return isSame(Buffer.from(signature, 'hex'), right);
}

// In constant time.
function isSame(one, other) {
    let difference = 0;
    for (let i = 0; i < DIGEST_BYTES; i += 4) {
        difference |= one.readInt32LE(i) ^ other.readInt32LE(i);
    }
    return difference === 0;
}

// What nginx answers just as the Library Server does: the whole file, or one range that lies in it.
function isEasilySent(r) {
    const headers = r.headersIn, file = fs.statSync(r.variables.library_file);
    if (!file.isFile() || headers['If-Match'] !== undefined || headers['If-Unmodified-Since'] !== undefined) {
        return false;
    }
    if (headers['Range'] === undefined) {
        return true;
    }
    const etag = '"' + Math.floor(file.mtimeMs / 1000).toString(16) + '-' + file.size.toString(16) + '"';
    if (headers['If-Range'] !== undefined && headers['If-Range'] !== etag) {
        return false;
    }
    const range = ONE_RANGE.exec(headers['Range']);
    if (!range || r.method !== 'GET') {
        return false;
    }
    if (range[3]) {
        return Number(range[3]) > 0 && file.size > 0;
    }
    return Number(range[1]) < file.size && (range[2] === '' || Number(range[1]) <= Number(range[2]));
}

export default {check};
