-- A mail server's side of a session with the milter door, for miltertest(8).
-- -D socket=PATH -D version=N -D offered=MASK -D fault=0|1

local conn = mt.connect("unix:" .. socket)
assert(conn, "no connection")
assert(mt.negotiate(conn, tonumber(version), nil, tonumber(offered)) == nil, "no negotiation")
assert(mt.conninfo(conn, "mx.example.net", "192.0.2.1") == nil)

function rcpt(address)
    assert(mt.rcptto(conn, "<" .. address .. ">", "NOTIFY=NEVER") == nil, address)
    return mt.getreply(conn)
end

for message = 1, 2 do
    mt.macro(conn, SMFIC_MAIL, "i", "4XYZ", "{auth_authen}", "anna")
    assert(mt.mailfrom(conn, "<x@example.net>", "SIZE=1000") == nil)
    -- What a reply's text says can't be asked before the message's end.
    if fault == "1" then
        assert(rcpt("known@ours.example") == SMFIR_REPLYCODE, "fault")
    else
        assert(rcpt("known@ours.example") == SMFIR_CONTINUE, "known")
        assert(rcpt("unknown@ours.example") == SMFIR_REPLYCODE, "unknown")
        assert(rcpt("somebody@elsewhere.example") == SMFIR_CONTINUE, "foreign")
        assert(rcpt("known..twice@ours.example") == SMFIR_REPLYCODE, "malformed")
        assert(rcpt("KNOWN@Ours.Example") == SMFIR_CONTINUE, "capitals")
    end
    if message == 1 then
        mt.abort(conn)
    else
        assert(mt.eom(conn) == nil)
        assert(mt.getreply(conn) == SMFIR_CONTINUE, "end of message")
    end
end
mt.disconnect(conn)
