/* vsock listen PORT: sends back what arrives, connection after connection.
   vsock connect PORT: standard input to the host's port, what comes back to standard output. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <unistd.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>

static int copy(int from, int to, char *buffer, size_t size)
{
	ssize_t count = read(from, buffer, size), done = 0;
	if (count < 0) perror("read");
	while (done < count) {
		ssize_t written = write(to, buffer + done, count - done);
		if (written <= 0) { perror("write"); return 0; }
		done += written;
	}
	return count > 0;
}

int main(int argc, char **argv)
{
	static char buffer[65536];
	struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = atoi(argv[2]) };
	int s = socket(AF_VSOCK, SOCK_STREAM, 0);
	if (strcmp(argv[1], "listen") == 0) {
		address.svm_cid = VMADDR_CID_ANY;
		if (bind(s, (void *)&address, sizeof address) || listen(s, 8)) { perror("listen"); return 1; }
		for (;;) {
			int c = accept(s, NULL, NULL);
			while (copy(c, c, buffer, sizeof buffer));
			close(c);
			puts("served");
			fflush(stdout);
		}
	}
	if (connect(s, (void *)&address, sizeof address)) { perror("connect"); return 1; }
	struct pollfd fds[2] = { { .fd = 0, .events = POLLIN }, { .fd = s, .events = POLLIN } };
	while (fds[1].fd >= 0) {
		poll(fds, 2, -1);
		if (fds[0].fd >= 0 && fds[0].revents && !copy(0, s, buffer, sizeof buffer)) { shutdown(s, SHUT_WR); fds[0].fd = -1; }
		if (fds[1].revents && !copy(s, 1, buffer, sizeof buffer)) fds[1].fd = -1;
	}
	return 0;
}
