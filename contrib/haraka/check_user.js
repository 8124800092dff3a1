'use strict'

// check_user - refuse unknown recipients, by asking check_user
//
// Into Haraka's folder `plugins/`; beside this file are the lines for `config/plugins` and
// `config/check_user.ini`.
//
// It looks every envelope recipient up, those of relay clients too, and says no or nothing:
//
//     the domain is ours, the user isn't there   DENY      550 5.1.1 Address '...' doesn't exist ...
//     the address is malformed                   DENY      553 5.1.3 Malformed address
//     the user is there                          next()    debug log: Local address '...'
//     the domain isn't ours                      next()    debug log: Foreign address '...'
//     it can't be told                           DENYSOFT  451 4.4.3 Internal error - try later
//
// It never says OK: that the domain is accepted is for the plugins behind it to decide
// (rcpt_to.in_host_list), and without an OK of theirs Haraka refuses.
//
// A hook that throws is to Haraka one without objection, which ends in a 550 for everybody; an
// error in a callback ends Haraka altogether. So whatever goes wrong in here is DENYSOFT: no answer
// in time, a lost connection, an answer that isn't understood, a recipient that isn't one, a bug.
//
// check_user's `line` door is asked by a connection for each recipient, so that no answer can be
// taken for that to another question:
//
//     <joe@example.org>                DECLINED known
//     <nobody@example.org>             DENY Address 'nobody@example.org' doesn't exist on this server
//     <ann@elsewhere.example>          DECLINED foreign
//     <"joe, home"@example.org>        DENYSOFT Internal error - try later

const net = require('node:net')

const DSN = require('haraka-dsn')

const QUESTION_LIMIT = 999 // octets of a question without its end; a path has 256
const ANSWER_LIMIT = 512 // octets of an answer; it must fit an SMTP reply
const ANSWER = /^(?:(DENY|DENYSOFT) ([\x20-\x7e]{1,460})|(DECLINED) (known|foreign))\n$/
const MALFORMED = 'Malformed address'
const FAULT = 'Internal error - try later'

exports.register = function () {
    const { main } = this.config.get('check_user.ini')
    this.socket = main.socket ?? '/run/check_user/line.sock'
    if (!/^\//.test(this.socket)) {
        throw new Error(`check_user.ini: socket '${this.socket}' is not an absolute path`)
    }
    // check_user answers within its lookup_timeout (3); less than that here, and its own answers
    // come too late. More than Haraka's plugin_timeout (30) is of no use.
    this.seconds = Number(main.timeout ?? 4)
    if (!(this.seconds > 0)) {
        throw new Error(`check_user.ini: timeout '${main.timeout}' is not a number of seconds`)
    }
}

exports.hook_rcpt = function (next, connection, params) {
    let answered = false
    const answer = (code, reply) => {
        if (answered) return
        answered = true
        next(code, reply)
    }
    const fail = (cause) => {
        if (answered) return
        log(connection, 'logerror', this, `no verdict: ${cause}`)
        answer(DENYSOFT, DSN.create(451, FAULT, 4, 3))
    }
    const settle = guarded(fail, (line) => {
        const [, refusal, text, , reason] = ANSWER.exec(line) ?? []
        if (refusal === 'DENYSOFT') return answer(DENYSOFT, DSN.create(451, text, 4, 3))
        if (refusal === 'DENY') return answer(DENY, refused(text))
        if (!reason) return fail('not an answer')
        const kind = reason === 'known' ? 'Local' : 'Foreign'
        log(connection, 'logdebug', this, `${kind} address '${params[0].format().slice(1, -1)}'`)
        answer()
    })
    guarded(fail, () => {
        const question = params[0].format()
        if (/[\r\n]/.test(question) || Buffer.byteLength(question) > QUESTION_LIMIT) {
            return answer(DENY, refused(MALFORMED))
        }
        ask(this.socket, this.seconds, question, settle, fail)
    })()
}

function refused(text) {
    return text === MALFORMED ? DSN.create(553, text, 1, 3) : DSN.create(550, text, 1, 1)
}

// A function that doesn't throw; `fail` is told why.
function guarded(fail, work) {
    return (...args) => {
        try {
            work(...args)
        } catch (error) {
            fail(error)
        }
    }
}

function log(connection, level, plugin, text) {
    try {
        connection[level](plugin, text)
    } catch {
        // A verdict doesn't depend on the log.
    }
}

// Ask one question. One of `settle` (with what came up to the first line's end, or more than an
// answer may be) and `fail` is called; both may be called again, in vain.
function ask(path, seconds, question, settle, fail) {
    const socket = net.connect({ path })
    const timer = setTimeout(() => end(fail, 'no answer in time'), seconds * 1000)
    let received = ''

    function end(tell, what) {
        clearTimeout(timer)
        socket.destroy()
        tell(what)
    }
    socket.setEncoding('latin1')
    socket.on('error', (error) => end(fail, error.message))
    socket.on('close', () => end(fail, 'closed without an answer'))
    socket.on('data', (piece) => {
        received += piece
        if (received.includes('\n') || received.length > ANSWER_LIMIT) end(settle, received)
    })
    socket.write(`${question}\n`)
}
