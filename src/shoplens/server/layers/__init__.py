"""What every request passes on its way in and out. Pure ASGI: no layer buffers a body."""
