// Depth alone, but for the holes in a texture.
in vec2 at;
uniform sampler2D picture;

void main() {
    if (texture(picture, at).a < 0.5) discard;
}
