"""Says a four-letter word to the ZooKeeper on this host and prints the answer: words.py WORD PORT."""

import socket
import sys

with socket.create_connection(("127.0.0.1", int(sys.argv[2])), timeout=5) as connection:
    connection.sendall(sys.argv[1].encode())
    while data := connection.recv(65536):
        sys.stdout.write(data.decode())
