// Haraka: refuses recipients who are not in a MariaDB table, by mysql2. The bench's own.
//
// config/rcpt_mysql.json has what mysql2's createPool() takes. One question decides, by a statement
// that is prepared in the server. It asks no DNS about clients.

'use strict'

const mysql = require('mysql2')

exports.register = function () {
    this.pool = mysql.createPool(this.config.get('rcpt_mysql.json'))
}

exports.hook_lookup_rdns = (next) => next(OK, 'localhost')

exports.hook_rcpt = function (next, connection, params) {
    const address = params[0].address.toLowerCase()
    this.pool.execute('SELECT 1 FROM users WHERE email = ?', [address], (error, rows) => {
        if (error) return next(DENYSOFT, 'Internal error - try later')
        if (rows.length) return next(OK)
        next(DENY, "Address doesn't exist on this server")
    })
}
