import time, socket, pytest
from talk import *
@pytest.fixture(scope="module")
def hasty(make_pod):
    return make_pod(web_front_request_timeout=2, web_front_body_limit=100000, web_front_buffer_limit=100000)

@pytest.mark.parametrize("size", [500, 5000, 50000, 99999])
@pytest.mark.parametrize("how", ["close", "wait", "half"])
def test_truncated(hasty, size, how):
    with raw(hasty.port, head(f"POST /t{size}{how} HTTP/1.1", f"Content-Length: {size}", "Content-Type: a/b"), b"x"*(size-1)) as c:
        t=time.monotonic()
        if how == "close":
            c.close(); time.sleep(1)
        elif how == "half":
            c.shutdown(socket.SHUT_WR); print(read_all(c)[:200])
        else:
            print(read_all(c)[:300], time.monotonic()-t)
    time.sleep(.3)
    print(hasty.seen(f"/t{size}{how}"))
    print(hasty.log()[-1])
    assert not hasty.seen(f"/t{size}{how}")

def test_chunked_cut(hasty):
    with raw(hasty.port, head("POST /ch HTTP/1.1", "Transfer-Encoding: chunked"), b"5\r\nhello\r\n") as c:
        print(read_all(c)[:300])
    assert not hasty.seen("/ch")
def test_chunked_big(hasty):
    with raw(hasty.port, head("POST /cb HTTP/1.1", "Transfer-Encoding: chunked"), b"20000\r\n"+b"x"*0x20000+b"\r\n0\r\n\r\n") as c:
        print(read_all(c)[:300])
    print(hasty.seen("/cb"))
    assert not hasty.seen("/cb")
def test_chunked_ok(hasty):
    with raw(hasty.port, head("POST /ok HTTP/1.1", "Transfer-Encoding: chunked", "Connection: close"), b"5\r\nhello\r\n0\r\n\r\n") as c:
        print(read_all(c)[:300])
    print(hasty.seen("/ok"))
def test_max(hasty):
    a = get(hasty.port, "/echo", "POST", b"y"*100000); assert a.status==200 and len(a.body)==100000
    a = get(hasty.port, "/echo", "POST", b"y"*100001); print(a.status, a.text, a.headers.items()); assert a.status==413
def test_slow_page(hasty):
    a = get(hasty.port, "/wait?seconds=5"); print(a); assert a.status==200
    a = get(hasty.port, "/wait?seconds=5", "POST", b"abc"); print(a); assert a.status==200
def test_slow_head(hasty):
    t=time.monotonic(); print(send_raw(hasty.port, b"GET / HTTP/1.1\r\nHost: x\r\nX-Sl"), time.monotonic()-t)
def test_big_head(hasty):
    print(send_raw(hasty.port, head("GET / HTTP/1.1", "X: "+"x"*40000, "Connection: close"))[:200])
