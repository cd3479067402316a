//! How much memory an exchange takes, for those who hold many.

use crate::{Exchange, Header};

impl Exchange {
    /// About how many bytes of memory it takes: everything in it that a client or a file may make as long as it likes.
    #[must_use]
    pub fn memory(&self) -> usize {
        /// What else may be on the heap: short names, and what the allocator adds.
        const REST: usize = 1024;
        let response = self.response.as_ref();
        let texts = [
            Some(&*self.session_name),
            Some(&*self.environment),
            Some(&*self.operation),
            Some(&*self.request.method),
            Some(&*self.request.url),
            self.envelope.client.as_deref(),
            response.and_then(|response| response.reason.as_deref()),
            response.and_then(|response| response.request_id.as_deref()),
            self.error.as_ref().map(|error| &*error.message),
            self.limit.as_ref().map(|limit| &*limit.rule),
            self.destination.as_ref().map(|destination| &*destination.address),
            self.destination.as_ref().and_then(|destination| Some(&*destination.tls.as_ref()?.server_name)),
            self.destination.as_ref().and_then(|destination| destination.proxy.as_deref()),
            self.recorded_by.as_deref(),
        ];
        let texts: usize = texts.into_iter().flatten().map(str::len).sum();
        let headers = self.request.headers.iter().chain(response.map_or(&[][..], |response| &response.headers));
        let headers: usize = headers.map(header).sum();
        let messages = self.web_socket.as_ref().map_or(0, |part| size_of_val(&part.messages[..]));
        let bodies: usize =
            self.bodies().map(|body| body.bytes.len() + body.content_encoding.as_ref().map_or(0, String::len)).sum();
        let rules = self.fault.iter().flat_map(|fault| &fault.rules).map(|rule| size_of::<String>() + rule.len());
        let lists = size_of_val(&self.notes[..]) + rules.sum::<usize>();
        size_of::<Self>() + REST + texts + headers + messages + bodies + lists
    }
}

fn header(header: &Header) -> usize {
    size_of_val(header) + header.name.len() + header.value.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, Direction, Message, Omitted, WebSocket, testing};

    /// By how much a change makes the sample larger.
    fn growth(change: impl FnOnce(&mut Exchange)) -> usize {
        let mut exchange = testing::sample();
        let before = exchange.memory();
        change(&mut exchange);
        exchange.memory() - before
    }

    #[test]
    fn everything_that_may_be_long_counts() {
        const LONG: usize = 1 << 20;
        let long = || "x".repeat(LONG);
        let changes: [fn(&mut Exchange, String); 12] = [
            |exchange, long| exchange.session_name = long.into(),
            |exchange, long| exchange.environment = long.into(),
            |exchange, long| exchange.operation = long,
            |exchange, long| exchange.request.url = long,
            |exchange, long| exchange.request.method = long.into(),
            |exchange, long| exchange.envelope.client = Some(long),
            |exchange, long| exchange.request.body = Body::whole(long.into()),
            |exchange, long| exchange.request.headers.push(Header { name: long.into(), value: "".into() }),
            |exchange, long| exchange.request.headers.push(Header { name: "".into(), value: long.into() }),
            |exchange, long| exchange.response.as_mut().unwrap().request_id = Some(long),
            |exchange, long| exchange.response.as_mut().unwrap().reason = Some(long.into()),
            |exchange, long| exchange.recorded_by = Some(long.into()),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let growth = growth(|exchange| change(exchange, long()));
            assert!((LONG - 1000..LONG + 1000).contains(&growth), "{index}: {growth}");
        }
    }

    #[test]
    fn many_short_things_count_by_what_each_takes() {
        let header = || Header { name: "a".into(), value: "b".into() };
        let headers = growth(|exchange| exchange.request.headers.extend(std::iter::repeat_with(header).take(1000)));
        assert_eq!(headers, 1000 * (size_of::<Header>() + 2));
        let messages = growth(|exchange| {
            let message =
                Message { time: exchange.started_at, direction: Direction::Send, opcode: 1, body: Body::empty() };
            exchange.web_socket = Some(WebSocket {
                handshake: exchange.id,
                part: 1,
                messages: vec![message; 1000],
                omitted: Omitted::default(),
                unreadable_bytes: 0,
                ended: false,
            });
        });
        assert_eq!(messages, 1000 * size_of::<Message>());
    }
}
