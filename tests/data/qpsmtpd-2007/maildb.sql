-- Accounts as an Exim of those days kept them: ours.example is a domain of this server.
CREATE TABLE domaintable (domain VARCHAR(128) NOT NULL PRIMARY KEY);
CREATE TABLE emailtable (
    local_part VARCHAR(64) NOT NULL,
    domain VARCHAR(128) NOT NULL,
    PRIMARY KEY (local_part, domain)
);
INSERT INTO domaintable VALUES ('ours.example');
INSERT INTO emailtable VALUES
    ('known', 'ours.example'),
    ('another', 'ours.example'),
    ('at,home', 'ours.example'),
    ('größe', 'ours.example');
